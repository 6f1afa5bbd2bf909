// The film under the viewer's window: the stored picture of 8 bits, or the film of 16 bits in its place. Both have a
// canvas, their size in pixels, the `first` window, the `limits` of others, and `draw`.
import { drawGrey, greyTable } from "./film.js";
import { edges, TableRenderer, WebglRenderer } from "./film16.js";

export class Picture {
  constructor(canvas, stored) {
    [this.canvas, this.stored, this.bits] = [canvas, stored, 8];
    [this.width, this.height] = [stored.width, stored.height];
    [canvas.width, canvas.height] = [stored.width, stored.height];
    canvas.getContext("2d", { willReadFrequently: true });
    this.shown = new ImageData(this.width, this.height);
    this.first = { width: 256, level: 128 }; // shows each stored value as it is
    this.limits = { width: [1, 512], level: [0, 255], step: 1 };
    this.perPixel = 1; // of a drag
    this.dark = false;
  }

  draw(window, inverted) {
    drawGrey(this.canvas, this.stored, this.shown, greyTable(window.width, window.level, inverted));
  }
}

export class Film {
  // `lost`: called if the graphics processor takes the film away. `plain`: use none.
  constructor(canvas, film, lost, plain = false) {
    [this.film, this.bits, this.dark] = [film, 16, film.inverted];
    [this.width, this.height] = [film.width, film.height];
    this.first = { width: film.windowWidth, level: film.windowCentre };
    this.limits = limitsOf(film);
    this.perPixel = Math.max(1, film.windowWidth - 1) / 255;
    this.canvas = canvas;
    this.renderer = this.chosen(film, plain);
    this.canvas.dataset.drawn = this.renderer instanceof WebglRenderer ? "webgl2" : "table";
    this.canvas.addEventListener("webglcontextlost", lost);
  }

  chosen(film, plain) {
    if (plain) { return new TableRenderer(this.canvas, film); }
    try {
      return new WebglRenderer(this.canvas, film);
    } catch { // a canvas that was asked for WebGL gives no other context
      this.canvas = this.canvas.cloneNode();
      return new TableRenderer(this.canvas, film);
    }
  }

  draw(window, inverted) {
    this.renderer.draw(edges(this.film, window.width, window.level), inverted !== this.dark);
  }
}

function limitsOf({ values, slope, intercept, windowWidth, windowCentre }) {
  let [lowest, highest] = [65535, 0];
  for (const value of values) {
    if (value < lowest) { lowest = value; }
    if (value > highest) { highest = value; }
  }
  const [low, high] = [lowest * slope + intercept, highest * slope + intercept];
  const widest = 2 * Math.max(high - low + 1, windowWidth);
  const step = windowWidth > 200 ? 1 : 10 ** Math.floor(Math.log10(windowWidth / 200));
  return { width: [1, widest], level: [Math.min(low, windowCentre), Math.max(high, windowCentre)], step };
}

// The window of another layer that shows the film as this window of this layer does: both first windows show the same.
export function translated(window, from, to) {
  const share = (value) => (value - firstBlack(from)) / Math.max(1e-9, from.first.width - 1);
  let middle = share(window.level - 0.5);
  const width = (window.width - 1) / Math.max(1e-9, from.first.width - 1);
  if (from.dark !== to.dark) { middle = 1 - middle; }
  const scale = to.first.width - 1;
  return { width: width * scale + 1, level: firstBlack(to) + middle * scale + 0.5 };
}

function firstBlack({ first }) {
  return first.level - 0.5 - (first.width - 1) / 2;
}
