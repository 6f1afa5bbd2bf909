// The film of a result: window and level, invert, zoom, pan, the film of 16 bits if there is one, the heat map over it.
// The page works without this file: it then shows the plain picture.
import { isWhole, readsBack } from "./film.js";
import { fetchFilm } from "./film16.js";
import { prepareHeatMap } from "./heat_map.js";
import { Film, Picture, translated } from "./layers.js";
import { listenToPointers } from "./pointers.js";
import { showError } from "./requests.js";
import { decimal, t } from "./words.js";

const MOST_ENLARGED = 2; // times, until the reader zooms: a small picture is not made to look like a large one
const LEAST_ZOOM = 0.1;
const MOST_ZOOM = 32;
const LEAST_SHOWN = 0.01; // in an area without room: from 0 no zoom leads back
const STEP = 1.25; // of one press on + or -
const IN_SIGHT = 40; // CSS pixels of the film that cannot be moved out of sight

class Viewer {
  constructor(area, tools, image) {
    if (!readsBack()) { throw new Error("the pixels of a canvas are not those that were drawn"); }
    [this.area, this.tools] = [area, tools];
    this.words = image.alt;
    this.stage = document.createElement("div");
    this.stage.className = "stage";
    this.picture = new Picture(this.addCanvas(this.words), this.pixels(image));
    this.changed = area.querySelector("[data-changed]");
    this.use(this.picture);
    area.append(this.stage);
    area.classList.add("ready");
    this.reset();
    new ResizeObserver(() => (this.fitted ? this.fit() : this.move(0, 0))).observe(area);
  }

  // The pixels of a picture, all of them; otherwise the picture is replaced by an error.
  pixels(image) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    const stored = pen.getImageData(0, 0, canvas.width, canvas.height);
    if (!isWhole(stored)) {
      image.dispatchEvent(new Event("error"));
      throw new Error("a part of the picture is missing");
    }
    return stored;
  }

  // Show the film from this layer on, as it is shown now.
  use(layer) {
    const before = this.layer;
    this.layer = layer;
    [this.width, this.height] = [layer.width, layer.height];
    this.stage.style.width = `${this.width}px`;
    this.stage.style.height = `${this.height}px`;
    for (const name of ["width", "level"]) {
      const slider = this.tools.querySelector(`[data-slider=${name}]`);
      [slider.step, slider.min, slider.max] = [layer.limits.step, ...layer.limits[name]];
    }
    if (!before) { return; }
    before.canvas.replaceWith(layer.canvas);
    const isFirst = this.window.width === before.first.width && this.window.level === before.first.level;
    this.window = isFirst ? { ...layer.first } : this.within(translated(this.window, before, layer));
    this.draw();
    if (this.fitted) { this.fit(); return; }
    this.zoom *= before.width / layer.width;
    this.place();
  }

  // Use the film of 16 bits; by another canvas if the graphics processor takes the first one away.
  useFilm(film, plain = false) {
    this.use(new Film(this.newCanvas(this.words), film, () => this.useFilm(film, true), plain));
  }

  newCanvas(words) {
    const canvas = document.createElement("canvas");
    if (words) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", words);
    } else {
      canvas.setAttribute("aria-hidden", "true");
    }
    return canvas;
  }

  addCanvas(words) {
    const canvas = this.newCanvas(words);
    this.stage.append(canvas);
    return canvas;
  }

  reset() {
    [this.window, this.inverted] = [{ ...this.layer.first }, false];
    this.fit();
    this.draw();
  }

  fit() {
    const { width, height } = this.area.getBoundingClientRect();
    [this.x, this.y, this.fitted] = [0, 0, true];
    const whole = Math.min(width / this.width, height / this.height, MOST_ENLARGED);
    this.zoom = Math.max(whole, LEAST_SHOWN);
    this.place();
  }

  realSize() {
    this.zoomTo(1 / window.devicePixelRatio, 0, 0);
  }

  // Zoom so that what is under the point stays there; the point is in CSS pixels from the middle of the film's area.
  zoomTo(zoom, x, y) {
    const next = Math.min(Math.max(zoom, LEAST_ZOOM), MOST_ZOOM);
    this.x = x - ((x - this.x) * next) / this.zoom;
    this.y = y - ((y - this.y) * next) / this.zoom;
    this.zoom = next;
    this.move(0, 0);
  }

  zoomBy(factor, x = 0, y = 0) {
    this.zoomTo(this.zoom * factor, x, y);
  }

  move(x, y) {
    const { width, height } = this.area.getBoundingClientRect();
    const farX = Math.max(0, (this.width * this.zoom + width) / 2 - IN_SIGHT);
    const farY = Math.max(0, (this.height * this.zoom + height) / 2 - IN_SIGHT);
    this.x = Math.min(Math.max(this.x + x, -farX), farX);
    this.y = Math.min(Math.max(this.y + y, -farY), farY);
    this.fitted = false;
    this.place();
  }

  place() {
    this.stage.style.transform = `translate(-50%, -50%) translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
    this.area.classList.toggle("moved", !this.fitted);
    const percent = Math.round(100 * this.zoom * window.devicePixelRatio);
    const words = percent > 100 ? t("Enlarged to {percent} %.", { percent }) : t("Shown at {percent} %.", { percent });
    document.querySelector("[data-shown]").textContent = words;
  }

  setWindow(width, level) {
    this.window = this.within({ width, level });
    this.draw();
  }

  // The nearest window that this film can have.
  within(window) {
    const { step, ...limits } = this.layer.limits;
    const near = (value, [least, most]) => Number((Math.round(Math.min(Math.max(value, least), most) / step) * step).toFixed(6));
    return { width: Math.max(1, near(window.width, limits.width)), level: near(window.level, limits.level) };
  }

  invert() {
    this.inverted = !this.inverted;
    this.draw();
  }

  draw() {
    this.layer.draw(this.window, this.inverted);
    for (const name of ["width", "level"]) {
      this.tools.querySelector(`[data-slider=${name}]`).value = this.window[name];
      this.tools.querySelector(`[data-value=${name}]`).textContent = decimal(String(this.window[name]));
    }
    this.tools.querySelector("[data-tool=invert]").setAttribute("aria-pressed", String(this.inverted));
    const { width, level } = this.window;
    const { first } = this.layer;
    const windowed = width === first.width && level === first.level ? [] : [t("Window {width}, level {level}.", { width: decimal(String(width)), level: decimal(String(level)) })];
    this.changed.textContent = [...windowed, ...(this.inverted ? [t("Inverted.")] : [])].join(" ");
  }
}

function prepareTools(viewer, tools) {
  const actions = {
    in: () => viewer.zoomBy(STEP),
    out: () => viewer.zoomBy(1 / STEP),
    real: () => viewer.realSize(),
    invert: () => viewer.invert(),
    reset: () => viewer.reset(),
  };
  for (const button of tools.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", actions[button.dataset.tool]);
  }
  const slider = (name) => tools.querySelector(`[data-slider=${name}]`);
  slider("width").addEventListener("input", (event) => viewer.setWindow(Number(event.target.value), viewer.window.level));
  slider("level").addEventListener("input", (event) => viewer.setWindow(viewer.window.width, Number(event.target.value)));
  if (slider("opacity")) { prepareHeatMap(viewer, tools, slider("opacity")); }
  tools.querySelectorAll("button, input").forEach((control) => { control.disabled = false; });
}

// The film of 16 bits in the place of the picture, if the result has one. If it fails, the page says so.
async function loadFilm(viewer, area, tools) {
  const status = tools.querySelector("[data-film-status]");
  status.textContent = t("Loading the film with 16 bits");
  try {
    const film = await fetchFilm(area.dataset.view);
    if (film) {
      viewer.useFilm(film);
      const stored = document.querySelector("[data-stored]");
      const size = `${film.width} × ${film.height}`;
      const { sent } = stored.dataset;
      stored.textContent = size === sent ? t("{size} pixels, {bits} bits", { size, bits: 16 })
        : t("{size} pixels of the {sent} that were sent, {bits} bits", { size, sent, bits: 16 });
    }
  } catch (error) {
    showError(status, "film", t("the film of 16 bits cannot be shown; the picture of 8 bits is. {reason}", { reason: error.message }));
  }
  status.textContent = "";
}

// A picture that fails is replaced by an error in page.js; the tools stay disabled. Until the whole picture is there
// none of it is shown: the lower half of a film that has not come yet would look black.
async function start() {
  const [area, tools] = [document.querySelector("[data-film]"), document.querySelector("[data-tools]")];
  const image = area?.querySelector("img[data-picture]");
  if (!image || !tools) { return; }
  area.classList.add("loading");
  try {
    await image.decode();
  } catch {
    image.dispatchEvent(new Event("error")); // also where a part of the picture was decoded
    return;
  } finally {
    area.classList.remove("loading");
  }
  let viewer;
  try {
    viewer = new Viewer(area, tools, image);
  } catch { // no canvas: the plain picture stays, unless an error has replaced it
    if (image.isConnected) { document.querySelector("[data-shown]").textContent = t("It cannot be adjusted in this browser."); }
    return;
  }
  prepareTools(viewer, tools);
  listenToPointers(viewer, document.getElementById("film"), area);
  if (area.dataset.view) { await loadFilm(viewer, area, tools); }
}

start();
