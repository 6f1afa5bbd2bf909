// Send one file to the server and read its answer.
import { secondsToWait } from "./queue.js";
import { told } from "../words.js";

const LOG_IN = { text: "Your session has ended. Log in again, then try again." };

// Whether a file failed because the session had ended: its reason says so, or contains it.
export const needsLogIn = (reason) => reason?.text === LOG_IN.text || (reason?.values?.reason ? needsLogIn(reason.values.reason) : false);

const WAIT_ON = [429, 502, 503, 504]; // statuses of a server that may answer later
const OPEN = [502, 504]; // and of one that may have assessed the file all the same

const POST_MS = 15 * 60 * 1000; // a request without an answer ends, too
const FIND_MS = 60 * 1000;

// The name that a file is sent with: its path, of which the server keeps the folder and the name apart. What a form
// writes in another way is replaced: it would not be found by its name.
export const sentName = (path) => path.replace(/[\r\n]/g, " ").replaceAll("%22", '"').replaceAll("\\", "_");

// The bytes of a file and their SHA-256 (hexadecimal; null where the browser has none: without https).
// Rejects if the file cannot be read.
export async function read(file) {
  const bytes = await file.arrayBuffer();
  const digest = globalThis.crypto?.subtle ? await crypto.subtle.digest("SHA-256", bytes) : null;
  return { bytes, digest: digest && Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

// POST a file; resolves to an answer for `settle`, and never rejects. An abort by `signal` resolves, too.
export function post(address, bytes, name, signal, onProgress) {
  const body = new FormData();
  body.append("file", new Blob([bytes]), name);
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.timeout = POST_MS;
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("load", () => resolve(answerOf(request, Date.now())));
    const lost = { wait: secondsToWait(null, 0), reason: { text: "The server did not respond." }, open: true };
    for (const kind of ["error", "abort", "timeout"]) { request.addEventListener(kind, () => resolve(lost)); }
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function answerOf(request, now) {
  let document = null;
  try { document = JSON.parse(request.responseText); } catch { /* not JSON: an error below */ }
  if (request.status === 201) {
    const predictions = document?.predictions;
    return predictions?.length === 1 ? { document: predictions[0], source: document.sources?.[0] } : { error: { text: "The answer of the server is not a result." } };
  }
  const reason = reasonOf(document, request.status);
  if (request.status === 401) { return { wait: Infinity, reason: LOG_IN }; } // it would refuse every other file, too
  const header = request.getResponseHeader("Retry-After");
  if (WAIT_ON.includes(request.status) && (header || request.status === 429)) {
    return { wait: secondsToWait(header, now), reason, open: OPEN.includes(request.status) };
  }
  return { error: reason };
}

function reasonOf(document, status) {
  return told(document?.errors?.[0]?.error) || told(document) || { text: "The server answered with status {status}.", values: { status } };
}

// Look for the result of a file whose answer was lost: {document}, {missing: true}, or {failed: reason}.
export async function find(address, digest, name) {
  try {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    const body = JSON.stringify({ sha256: digest, file: name });
    const response = await fetch(address, { method: "POST", headers, body, signal: AbortSignal.timeout(FIND_MS) });
    const document = await response.json();
    if (response.ok) { return { document }; }
    return response.status === 404 ? { missing: true } : { failed: reasonOf(document, response.status) };
  } catch {
    return { failed: { text: "The server did not respond." } };
  }
}
