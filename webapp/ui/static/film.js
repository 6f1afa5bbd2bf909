// What is computed of a film's pixels: window and level, and the colours of a heat map without the film under them.
// As in model/serving/explain.py: the colours, their size, and the legend's least width.
import { t } from "./words.js";

const FOR = [230, 60, 30];
const AGAINST = [40, 110, 230];
const MIN_SIDE = 512;
const MAX_SIDE = 1024;
const LEAST_WIDTH = 320;

// Whether this browser gives back the pixels that were drawn. Some change them, so that nobody is recognised by them.
export function readsBack() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 64];
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const drawn = new ImageData(64, 64);
  for (let at = 0; at < drawn.data.length; at += 1) { drawn.data[at] = at % 4 === 3 ? 255 : (at * 37) % 256; }
  pen.putImageData(drawn, 0, 0);
  const read = pen.getImageData(0, 0, 64, 64).data;
  return drawn.data.every((value, at) => value === read[at]);
}

// Whether every pixel (of ImageData) of a picture was decoded: browsers leave those transparent that a cut-off file lacks.
export function isWhole(image) {
  for (let at = 3; at < image.data.length; at += 4) { if (image.data[at] !== 255) { return false; } }
  return true;
}

// 256 pixels (opaque, as one number each): the grey value that is shown for each stored one, as DICOM defines it.
export function greyTable(width, level, inverted) {
  const table = new Uint32Array(256);
  for (let stored = 0; stored < 256; stored += 1) {
    const share = width > 1 ? (stored - (level - 0.5)) / (width - 1) + 0.5 : Number(stored > level - 0.5);
    const shown = Math.round(255 * Math.min(Math.max(share, 0), 1));
    const grey = inverted ? 255 - shown : shown;
    table[stored] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}

// The canvas's pixels with the table applied to the red channel of `stored` (ImageData of a grey picture). `shown` is
// ImageData of the same size that is overwritten: a drag draws at each frame, and up to 4 MB each time would pile up.
export function drawGrey(canvas, stored, shown, table) {
  const pixels = new Uint32Array(shown.data.buffer);
  for (let at = 0; at < pixels.length; at += 1) { pixels[at] = table[stored.data[4 * at]]; }
  canvas.getContext("2d").putImageData(shown, 0, 0);
}

// Pixels of the film in a heat map of a picture with so many pixels; below it is the legend.
function filmSize(width, height) {
  const longer = Math.max(width, height);
  const scale = Math.min(Math.max(longer, MIN_SIDE), MAX_SIDE) / longer;
  return [Math.max(1, Math.round(scale * width)), Math.max(1, Math.round(scale * height))];
}

// Draw a heat map's colours alone, transparent where there is none, and its legend.
// The film under the colours is grey, so that red less blue tells how strong they are. Throws an Error with
// words for people if it is no such picture.
export function drawHeatMap(heatMap, width, height, layer, legend) {
  const [filmWidth, filmHeight] = filmSize(width, height);
  if (heatMap.width !== Math.max(filmWidth, LEAST_WIDTH) || heatMap.height <= filmHeight) {
    throw new Error(t("It does not fit the film."));
  }
  [layer.width, layer.height] = [filmWidth, filmHeight];
  const pen = layer.getContext("2d", { willReadFrequently: true });
  pen.drawImage(heatMap, -Math.floor((heatMap.width - filmWidth) / 2), 0);
  const image = pen.getImageData(0, 0, filmWidth, filmHeight);
  if (!isWhole(image)) { throw new Error(t("A part of it is missing.")); }
  const data = image.data;
  for (let at = 0; at < data.length; at += 4) {
    const difference = data[at] - data[at + 2];
    const colour = difference > 0 ? FOR : AGAINST;
    data[at + 3] = Math.round(255 * Math.min(1, difference / (colour[0] - colour[2])));
    [data[at], data[at + 1], data[at + 2]] = colour;
  }
  pen.putImageData(image, 0, 0);
  [legend.width, legend.height] = [heatMap.width, heatMap.height - filmHeight];
  legend.getContext("2d").drawImage(heatMap, 0, -filmHeight);
}
