// The film of a result: window and level, invert, zoom, pan, and the heat map over it.
// The page works without this file: it then shows the plain picture.
import { drawGrey, drawHeatMap, greyTable, isWhole, readsBack } from "./film.js";
import { listenToPointers } from "./pointers.js";

const WHOLE = { width: 256, level: 128 }; // shows each stored value as it is
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
    [this.width, this.height] = [image.naturalWidth, image.naturalHeight];
    this.stage = document.createElement("div");
    this.stage.className = "stage";
    this.canvas = this.addCanvas(image.alt);
    [this.canvas.width, this.canvas.height] = [this.width, this.height];
    const pen = this.canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    this.stored = pen.getImageData(0, 0, this.width, this.height);
    if (!isWhole(this.stored)) {
      image.dispatchEvent(new Event("error"));
      throw new Error("a part of the picture is missing");
    }
    this.stage.style.width = `${this.width}px`;
    this.stage.style.height = `${this.height}px`;
    this.shown = new ImageData(this.width, this.height);
    this.changed = area.querySelector("[data-changed]");
    this.reset();
    area.append(this.stage);
    area.classList.add("ready");
    new ResizeObserver(() => (this.fitted ? this.fit() : this.move(0, 0))).observe(area);
  }

  addCanvas(words) {
    const canvas = document.createElement("canvas");
    if (words) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", words);
    } else {
      canvas.setAttribute("aria-hidden", "true");
    }
    this.stage.append(canvas);
    return canvas;
  }

  reset() {
    [this.window, this.inverted] = [{ ...WHOLE }, false];
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
    const words = percent > 100 ? `Enlarged to ${percent} %.` : `Shown at ${percent} %.`;
    document.querySelector("[data-shown]").textContent = words;
  }

  setWindow(width, level) {
    this.window = {
      width: Math.round(Math.min(Math.max(width, 1), 512)),
      level: Math.round(Math.min(Math.max(level, 0), 255)),
    };
    this.draw();
  }

  invert() {
    this.inverted = !this.inverted;
    this.draw();
  }

  draw() {
    drawGrey(this.canvas, this.stored, this.shown, greyTable(this.window.width, this.window.level, this.inverted));
    for (const name of ["width", "level"]) {
      this.tools.querySelector(`[data-slider=${name}]`).value = this.window[name];
      this.tools.querySelector(`[data-value=${name}]`).textContent = this.window[name];
    }
    this.tools.querySelector("[data-tool=invert]").setAttribute("aria-pressed", String(this.inverted));
    const { width, level } = this.window;
    const windowed = width === WHOLE.width && level === WHOLE.level ? [] : [`Window ${width}, level ${level}.`];
    this.changed.textContent = [...windowed, ...(this.inverted ? ["Inverted."] : [])].join(" ");
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

// The heat map, or an Error with words for people.
async function fetchHeatMap(address) {
  let response;
  try {
    response = await fetch(address, { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("The server did not respond.");
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw new Error(problem?.title ? `${problem.title}. ${problem.detail}` : `The server answered ${response.status}.`);
  }
  try {
    return await createImageBitmap(await response.blob());
  } catch {
    throw new Error("The answer is no picture.");
  }
}

function prepareHeatMap(viewer, tools, opacity) {
  const box = tools.querySelector("[data-heat]");
  const status = tools.querySelector("[data-heat-status]");
  const legend = document.querySelector("[data-legend]");
  let layer = null;
  let loading = false;
  const show = () => {
    const shown = box.checked && layer !== null;
    if (layer) {
      layer.hidden = !shown;
      layer.style.opacity = String(Number(opacity.value) / 100);
    }
    tools.querySelector("[data-value=opacity]").textContent = opacity.value;
    legend.hidden = !shown;
    tools.querySelector("[data-colours]").hidden = !shown;
  };
  box.addEventListener("change", async () => {
    if (layer || !box.checked || loading) { show(); return; }
    loading = true;
    tools.querySelectorAll(".error").forEach((alert) => alert.remove());
    status.textContent = "Loading the heat map";
    try {
      const heatMap = await fetchHeatMap(box.dataset.heat);
      const drawn = viewer.addCanvas("");
      try {
        drawHeatMap(heatMap, viewer.width, viewer.height, drawn, legend);
      } catch (error) {
        drawn.remove();
        throw error;
      } finally {
        heatMap.close();
      }
      layer = drawn;
    } catch (error) {
      box.checked = false;
      const failed = document.createElement("p");
      failed.className = "card error";
      failed.setAttribute("role", "alert");
      failed.textContent = `Error: the heat map cannot be shown over the film. ${error.message}`;
      status.after(failed);
    }
    loading = false;
    status.textContent = "";
    show();
  });
  opacity.addEventListener("input", show);
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
    if (image.isConnected) { document.querySelector("[data-shown]").textContent = "It cannot be adjusted in this browser."; }
    return;
  }
  prepareTools(viewer, tools);
  listenToPointers(viewer, document.getElementById("film"), area);
}

start();
