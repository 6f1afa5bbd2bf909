// The 16-bit film of a result, view.bin: its values, and how a window shows them. webapp/api/view_film.py writes it.
import { bytesOf, fetched } from "./requests.js";
import { t } from "./words.js";

const MAGIC = "PN16";
const SECONDS = 30;

// The film at an address: its head, and the `values` (Uint16Array, row by row). Null if the result has none. Throws an
// Error with words for people: what is not whole is never shown in part.
export async function fetchFilm(address) {
  if (typeof DecompressionStream === "undefined") { throw new Error(t("This browser cannot read it.")); }
  const response = await fetched(address, SECONDS);
  if (response.status === 204) { return null; }
  const bytes = new Uint8Array(await bytesOf(response));
  let head;
  let planes;
  try {
    if (String.fromCharCode(...bytes.subarray(0, 4)) !== MAGIC) { throw new Error(); }
    const end = 8 + new DataView(bytes.buffer).getUint32(4, true);
    head = JSON.parse(new TextDecoder().decode(bytes.subarray(8, end)));
    planes = await inflated(bytes.subarray(end));
  } catch {
    throw new Error(t("It is cut off or damaged."));
  }
  const { width, height, slope, intercept, windowCentre, windowWidth, inverted } = head;
  const numbers = [width, height, slope, intercept, windowCentre, windowWidth];
  const whole = Number.isInteger(width) && Number.isInteger(height) && planes.length === 2 * width * height;
  if (!whole || !numbers.every(Number.isFinite) || !(slope > 0) || typeof inverted !== "boolean") { throw new Error(t("It is cut off or damaged.")); }
  return { ...head, values: valuesOf(planes, width, height) };
}

// The bytes of a zlib stream; fails if it is cut off, or its checksum is wrong.
async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function valuesOf(planes, width, height) {
  const size = width * height;
  const values = new Uint16Array(size);
  for (let at = 0; at < size; at += 1) {
    const zigzag = (planes[at] << 8) | planes[size + at];
    const before = at % width ? values[at - 1] : at ? values[at - width] : 0;
    values[at] = before + ((zigzag >>> 1) ^ -(zigzag & 1));
  }
  return values;
}

// The stored values that a window (in the film's own unit) shows as black and as white, as DICOM's function LINEAR
// defines them. They are not whole numbers.
export function edges(film, width, level) {
  const stored = (value) => (value - film.intercept) / film.slope;
  const half = Math.max(0, width - 1) / 2;
  return [stored(level - 0.5 - half), stored(level - 0.5 + half)];
}

// The grey (0 to 255) that each of the 65536 stored values is shown as.
export function greys([black, white], dark) {
  const table = new Uint8Array(65536);
  for (let value = 0; value < 65536; value += 1) {
    const share = white > black ? Math.min(Math.max((value - black) / (white - black), 0), 1) : Number(value > black);
    table[value] = Math.round(255 * (dark ? 1 - share : share));
  }
  return table;
}

// Draws a film on a canvas by a table: for browsers without WebGL2.
export class TableRenderer {
  constructor(canvas, film) {
    this.film = film;
    [canvas.width, canvas.height] = [film.width, film.height];
    this.pen = canvas.getContext("2d", { willReadFrequently: true });
    this.image = new ImageData(film.width, film.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  draw(range, dark) {
    const table = new Uint32Array(65536);
    greys(range, dark).forEach((grey, value) => { table[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey; });
    const { values } = this.film;
    for (let at = 0; at < values.length; at += 1) { this.pixels[at] = table[values[at]]; }
    this.pen.putImageData(this.image, 0, 0);
  }
}

// Draws a film by the graphics processor. Throws if there is none, or it takes no such film. WebGL2 that is computed by
// the processor takes ten times as long as the table, and is not used.
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const VERTICES = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;
const FRAGMENTS = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D film;
uniform int height;
uniform vec2 black; // its whole and its broken part: a large number of 32 bits has no fine parts
uniform float range;
uniform bool dark;
out vec4 shown;
void main() {
  ivec2 at = ivec2(int(gl_FragCoord.x), height - 1 - int(gl_FragCoord.y));
  float above = (float(texelFetch(film, at, 0).r) - black.x) - black.y;
  float share = range > 0.0 ? clamp(above / range, 0.0, 1.0) : (above > 0.0 ? 1.0 : 0.0);
  float grey = dark ? 1.0 - share : share;
  shown = vec4(grey, grey, grey, 1.0);
}`;

export class WebglRenderer {
  constructor(canvas, film) {
    [canvas.width, canvas.height] = [film.width, film.height];
    const options = { alpha: false, antialias: false, depth: false, stencil: false, failIfMajorPerformanceCaveat: true };
    const gl = canvas.getContext("webgl2", options);
    if (!gl || gl.getParameter(gl.MAX_TEXTURE_SIZE) < Math.max(film.width, film.height)) { throw new Error("no WebGL2"); }
    const named = gl.getExtension("WEBGL_debug_renderer_info");
    if (named && SOFTWARE.test(gl.getParameter(named.UNMASKED_RENDERER_WEBGL))) { throw new Error("no graphics processor"); }
    this.gl = gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTICES], [gl.FRAGMENT_SHADER, FRAGMENTS]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) { throw new Error("the shader is not accepted"); }
    gl.useProgram(program);
    this.at = (name) => gl.getUniformLocation(program, name);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R16UI, film.width, film.height);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, film.width, film.height, gl.RED_INTEGER, gl.UNSIGNED_SHORT, film.values);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) { gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST); }
    gl.viewport(0, 0, film.width, film.height);
    gl.uniform1i(this.at("height"), film.height);
    if (gl.getError() !== gl.NO_ERROR) { throw new Error("the film is not accepted"); }
  }

  draw([black, white], dark) {
    const { gl } = this;
    const whole = Math.floor(black);
    gl.uniform2f(this.at("black"), whole, black - whole);
    gl.uniform1f(this.at("range"), white - black);
    gl.uniform1i(this.at("dark"), Number(dark));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}
