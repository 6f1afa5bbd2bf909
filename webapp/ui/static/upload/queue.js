// The state of the upload queue: plain functions on plain data, without page and network.
//
// An entry is one file: {key, path, size, modified, held, state, ...}. `held`: the page has the file itself, which it
// has not after a reload. Each entry is in exactly one state:
//   selected  chosen, not started       queued     waits for its turn        sending   the request is under way
//   waiting   the server asked to wait
//   result    a finding                 refused    no finding, with a reason  error     failed, with a reason
//   cancelled by the reader             unsent     the page was reloaded before it was sent
//   unknown   the page was reloaded before the answer came
import { isWords } from "../words.js";

export const IN_FLIGHT = 2; // requests at the same time
export const MAX_WAITS = 5; // times that a file waits because the server asks to
const MAX_WAIT_S = 120;
const DEFAULT_WAIT_S = 5;
const OVERHEAD = 1024; // bytes of a request beside the file
const BUSY = ["queued", "sending", "waiting"];
const FAILED = ["error", "cancelled"];
const NO_RESULT = [...FAILED, "unsent", "unknown"];
const RANKS = ["error", "unknown", "unsent", "cancelled", "pneumonia", "no pneumonia", "refused"];

// An empty queue. `limit`: bytes of the largest request.
export function create(limit) {
  return { limit, entries: [], leftOut: [], pausedUntil: 0, stalled: 0, last: 0 };
}

export const isBusy = (entry) => BUSY.includes(entry.state);
export const hasNoResult = (entry) => NO_RESULT.includes(entry.state);
export const mustBeChosenAgain = (entry) => hasNoResult(entry) && !entry.held;
export const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1);

// Add files, each {path, file}; returns pairs of an entry and its file. A file that was lost by a reload gets its own
// entry back, by its whole path: films of different folders often share name, size and time. One that is in the list
// already is left out, and listed as such.
export function add(queue, chosen) {
  const identity = (path, size, modified) => JSON.stringify([path, size, modified]);
  const known = new Map(queue.entries.map((entry) => [identity(entry.path, entry.size, entry.modified), entry]));
  const added = [];
  for (const { path, file } of chosen) {
    const name = identity(path, file.size, file.lastModified);
    let entry = known.get(name);
    if (entry && !mustBeChosenAgain(entry)) {
      queue.leftOut.push({ path, reason: { text: "a file of this name, size and time is already in the list" } });
      continue;
    }
    if (!entry) {
      entry = { key: ++queue.last, path, size: file.size, modified: file.lastModified };
      queue.entries.push(entry);
      known.set(name, entry);
    }
    entry.held = true;
    become(entry, "selected");
    if (file.size + OVERHEAD > queue.limit) {
      become(entry, "refused", { text: "larger than {n} MB, so it was not sent", values: { n: Math.floor(queue.limit / 1048576) } });
    }
    added.push([entry, file]);
  }
  return added;
}

// An entry for what could not be read, such as a folder: an error without a way to try again.
export function addUnreadable(queue, path, reason) {
  const entry = { key: ++queue.last, path, size: -1, modified: 0, held: true, unreadable: true };
  queue.entries.push(entry);
  become(entry, "error", reason);
}

function become(entry, state, reason = "") {
  Object.assign(entry, { state, reason, posted: false, progress: 0 });
  for (const field of ["id", "finding", "probability", "threshold", "point", "cautions", "same"]) { delete entry[field]; }
}

// Give every selected file its turn.
export function start(queue) {
  queue.entries.filter((entry) => entry.state === "selected").forEach(enqueue);
}

function enqueue(entry) {
  become(entry, "queued");
  entry.waits = 0;
}

// The entry to send now, which becomes "sending", or null.
export function next(queue, now) {
  const sending = queue.entries.filter((entry) => entry.state === "sending").length;
  if (sending >= IN_FLIGHT || now < queue.pausedUntil) { return null; }
  const entry = queue.entries.find((each) => ["waiting", "queued"].includes(each.state)) ?? null;
  if (entry) { become(entry, "sending"); }
  return entry;
}

// Record the answer to an entry: {document}, {wait, reason} with the seconds to wait, or {error}.
export function settle(queue, entry, answer, now) {
  const wait = "wait" in answer;
  queue.stalled = wait ? queue.stalled + 1 : 0;
  if (!wait) {
    finish(entry, answer);
    return;
  }
  const tooLong = answer.wait > MAX_WAIT_S;
  if (!tooLong && entry.waits < MAX_WAITS) {
    queue.pausedUntil = Math.max(queue.pausedUntil, now + 1000 * answer.wait);
    const posted = entry.posted && answer.open;
    become(entry, "waiting", answer.reason);
    Object.assign(entry, { waits: entry.waits + 1, posted });
    return;
  }
  become(entry, "error", answer.reason);
  if (tooLong || queue.stalled > MAX_WAITS) { // nothing was accepted meanwhile: the others would wait in vain
    queue.entries.filter((each) => ["queued", "waiting"].includes(each.state)).forEach((each) => {
      become(each, "error", {
        text: each.posted ? "It may have been assessed. {reason}" : "Not assessed. {reason}", values: { reason: answer.reason },
      });
    });
  }
}

// Record a prediction document, or an error. What is neither a finding nor a refusal is an error.
// `source`: what the server tells of the file beside it, such as the results of the same bytes that it had before.
export function finish(entry, { document, source, error }) {
  const { id, finding, refusal, probability, threshold } = document ?? {};
  if (error) {
    become(entry, "error", error);
  } else if (!isIdentifier(id)) {
    become(entry, "error", { text: "The answer of the server is not a result." });
  } else if (typeof refusal?.reason === "string" && finding === null) {
    become(entry, "refused", { kind: "refusal", code: refusal.code, text: refusal.reason });
    entry.id = id;
  } else if (refusal === null && isFinding(document) && document.cautions.every((each) => typeof each?.code === "string")) {
    become(entry, "result");
    const cautions = document.cautions.map((each) => each.code);
    Object.assign(entry, { id, finding, probability, threshold, cautions, point: document.operating_point?.name });
  } else {
    become(entry, "error", { text: "The answer of the server is neither a finding nor a refusal." });
  }
  if (entry.id && Array.isArray(source?.same) && source.same.every(isSame)) { entry.same = source.same; }
}

const isSame = (each) => isIdentifier(each?.id) && [each.file, each.folder, each.created].every(isText);

// Whether a document or an entry has a finding that its probability bears out, and cautions.
function isFinding({ finding, probability, threshold, cautions }) {
  if (![probability, threshold].every((each) => Number.isFinite(each) && each >= 0 && each <= 1)) { return false; }
  return finding === (probability >= threshold ? "pneumonia" : "no pneumonia") && Array.isArray(cautions);
}

const isIdentifier = (text) => typeof text === "string" && /^[0-9a-f]{32}$/.test(text);

// Stop an entry that waits or is sent. `posted`: the server may have assessed it.
export function cancel(entry) {
  if (isBusy(entry)) { become(entry, "cancelled", entry.posted ? { text: "It may have been assessed." } : { text: "It was not assessed." }); }
}

export function remove(queue, entry) {
  queue.entries = queue.entries.filter((each) => each !== entry);
}

export function clear(queue) {
  queue.entries = [];
  queue.leftOut = [];
}

export const mayRetry = (entry) => FAILED.includes(entry.state) && entry.held && !entry.unreadable;

export function retry(queue, entry) {
  if (mayRetry(entry)) { enqueue(entry); }
}

export function hasEnded({ entries }) {
  return entries.length > 0 && !entries.some((entry) => isBusy(entry) || entry.state === "selected");
}

// The state, or the finding of a result: what entries are counted and ordered by.
export const kindOf = (entry) => (entry.state === "result" ? entry.finding : entry.state);

// How many entries there are of each kind.
export function counts(queue) {
  const numbers = {};
  for (const entry of queue.entries) { numbers[kindOf(entry)] = (numbers[kindOf(entry)] ?? 0) + 1; }
  return numbers;
}

// The order to show: as chosen; when all have ended, errors first, then the most suspicious.
export function ordered(queue) {
  if (!hasEnded(queue)) { return queue.entries; }
  const rank = (entry) => RANKS.indexOf(kindOf(entry));
  return [...queue.entries].sort((a, b) => rank(a) - rank(b) || (b.probability ?? 0) - (a.probability ?? 0));
}

// The seconds that a Retry-After header asks for (RFC 9110: a number or a date).
export function secondsToWait(header, now) {
  if (/^\d+$/.test(header ?? "")) { return Math.max(1, Number(header)); }
  const date = Date.parse(header ?? "");
  return Number.isNaN(date) ? DEFAULT_WAIT_S : Math.max(1, Math.ceil((date - now) / 1000));
}

// Whether what was kept is a list that can be shown: it may be of another version of the page, or was changed.
export function isList(found) {
  if (!Array.isArray(found?.entries) || !Array.isArray(found.leftOut)) { return false; }
  const keys = new Set(found.entries.map((entry) => entry?.key));
  return keys.size === found.entries.length && found.entries.every(isEntry) && found.leftOut.every(isLeftOut);
}

const isText = (value) => typeof value === "string";
const isLeftOut = (each) => isText(each?.path) && isWords(each.reason);

function isEntry(entry) {
  if (!Number.isSafeInteger(entry?.key) || !isText(entry.path) || !isWords(entry.reason)) { return false; }
  if (entry.same !== undefined && !(Array.isArray(entry.same) && entry.same.every(isSame))) { return false; }
  if (entry.state === "result") { return isIdentifier(entry.id) && isFinding(entry) && entry.cautions.every(isText); }
  return [...BUSY, ...NO_RESULT, "selected", "refused"].includes(entry.state) && (entry.id === undefined || isIdentifier(entry.id));
}

// The queue of a page that is loaded again, from the entries of the page before: no file is there any more.
export function restored(limit, { entries, leftOut }) {
  const queue = { ...create(limit), entries, leftOut, last: entries.reduce((last, { key }) => Math.max(last, key), 0) };
  for (const entry of entries) {
    const posted = entry.posted;
    entry.held = false;
    if (posted && ["sending", "waiting"].includes(entry.state)) {
      become(entry, "unknown", { text: "The page was reloaded before the answer came." });
    } else if (isBusy(entry) || entry.state === "selected") {
      become(entry, "unsent", { text: "The page was reloaded before it was sent." });
    }
  }
  return queue;
}
