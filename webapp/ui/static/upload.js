// Adds an upload queue to the form: any number of files and folders, one request a file, each with its own outcome.
// The page works without this file: the form then sends its files in one request.
import { ofDrop, ofInput, selected } from "./upload/files.js";
import { keep, kept } from "./upload/kept.js";
import {
  add, addUnreadable, cancel, clear, counts, create, finish, hasEnded, isBusy, mayRetry, next, remove, restored, retry,
  settle, start,
} from "./upload/queue.js";
import { find, needsLogIn, post, read, sentName } from "./upload/send.js";
import { View } from "./upload/view.js";
import { t } from "./words.js";

const LOOK_AFTER_MS = [0, 3000, 10000]; // the server may still be at work on a file whose answer was lost
const TICK_MS = 1000;

const form = document.querySelector("form[data-upload]");
const limit = Number(form.dataset.limit);
const files = new Map(); // key of an entry -> its file
const flights = new Map(); // key of an entry -> what aborts its request
const before = kept();
const queue = before.list ? restored(limit, before.list) : create(limit);
const view = new View(document.querySelector("[data-queue-box]"), (action, key) => {
  ACTIONS[action](queue.entries.find((entry) => entry.key === key));
});
let taking = Promise.resolve(); // until the chosen files are in the list
let tick = 0;
let announced = "";

const ACTIONS = {
  cancel: (entry) => { abandon(entry); pump(); },
  retry: (entry) => { retry(queue, entry); pump(); },
  remove: (entry) => { forget(entry); pump(); },
  look,
};

function abandon(entry) {
  cancel(entry);
  flights.get(entry.key)?.abort();
  flights.delete(entry.key);
}

function forget(entry) {
  remove(queue, entry);
  files.delete(entry.key);
}

// Send what may be sent, keep the list and show it.
function pump() {
  for (let entry = next(queue, Date.now()); entry; entry = next(queue, Date.now())) { deliver(entry); }
  refresh();
}

function refresh() {
  view.show(queue, Date.now());
  const safe = keep(queue);
  document.querySelector("[data-not-kept]").hidden = safe;
  const logIn = document.querySelector("[data-log-in]");
  if (logIn) { logIn.hidden = !queue.entries.some((entry) => mayRetry(entry) && needsLogIn(entry.reason)); }
  const waits = queue.entries.some((entry) => ["waiting", "queued"].includes(entry.state));
  window.clearTimeout(tick);
  if (waits && Date.now() < queue.pausedUntil) { tick = window.setTimeout(pump, Math.min(TICK_MS, queue.pausedUntil - Date.now())); }
  announce();
}

// To screen readers: when an upload begins, waits and has ended, and at each quarter; not each file.
function announce() {
  const numbers = counts(queue);
  let message = "";
  if (queue.entries.some(isBusy)) {
    message = numbers.waiting ? t("The server asks to wait; the upload goes on by itself.") : t("The files are being assessed: {percent} % done.", { percent: quarters() });
  } else if (hasEnded(queue)) {
    const words = Array.from(document.querySelectorAll("[data-counts] li"), (each) => each.textContent);
    message = t("The upload has ended: {numbers}.", { numbers: words.join(", ") });
  }
  if (message !== announced) {
    announced = message;
    document.querySelector("[data-announce]").textContent = message;
  }
}

function quarters() {
  const started = queue.entries.filter((entry) => entry.state !== "selected");
  return 25 * Math.floor((4 * started.filter((entry) => !isBusy(entry)).length) / started.length);
}

async function deliver(entry) {
  const flight = new AbortController();
  flights.set(entry.key, flight);
  const answer = await answerTo(entry, flight.signal);
  if (flights.get(entry.key) !== flight) { return; } // cancelled
  flights.delete(entry.key);
  settle(queue, entry, answer, Date.now());
  pump();
}

async function answerTo(entry, signal) {
  const file = files.get(entry.key);
  let content;
  try {
    content = await read(file);
  } catch {
    return { error: { text: "The file cannot be read. It may have been moved or changed since it was chosen." } };
  }
  if (signal.aborted) { return {}; }
  Object.assign(entry, { digest: content.digest, posted: true });
  keep(queue); // before it is sent: it can then be found after a reload
  return post(form.action, content.bytes, sentName(entry.path), signal, (share) => {
    entry.progress = share;
    view.progress(entry);
  });
}

// Look for the result of a file whose answer was lost by a reload.
async function look(entry) {
  const say = (reason, looking) => { Object.assign(entry, { reason, looking }); refresh(); };
  for (const delay of LOOK_AFTER_MS) {
    say({ text: "The page was reloaded before the answer came. Its result is being looked for." }, true);
    await new Promise((resolve) => window.setTimeout(resolve, delay));
    if (entry.state !== "unknown" || !queue.entries.includes(entry)) { break; }
    const { document: result, failed } = await find(form.dataset.find, entry.digest, sentName(entry.path));
    if (entry.state !== "unknown") { break; }
    if (result) { finish(entry, { document: result }); break; }
    say(failed ? { text: "Its result could not be looked for. {reason}", values: { reason: failed } } : { text: "No result of it was found." }, false);
  }
  entry.looking = false;
  refresh();
}

// Take files into the list, after those that were chosen before. The list may be too long for the arguments of a call.
function takeAll(reading, message) {
  hint(message);
  taking = Promise.all([taking, reading.then(take)]).then(
    () => hint(""),
    () => hint(t("Error: the files could not be read. None of them is sent that is not in the list.")),
  );
}

async function take({ files: found, leftOut = [], unreadable = [] }) {
  const chosen = await selected(found);
  queue.leftOut = queue.leftOut.concat(leftOut, chosen.leftOut);
  unreadable.forEach(({ path, reason }) => addUnreadable(queue, path, reason));
  for (const [entry, file] of add(queue, chosen.pictures)) {
    files.set(entry.key, file);
    view.preview(entry, file);
  }
  refresh();
}

function hint(message) { form.querySelector("[data-busy]").textContent = message; }

function takeInput(input) {
  const found = ofInput(input);
  input.value = "";
  takeAll(Promise.resolve({ files: found }), t("Reading the files"));
}

const folder = form.querySelector("[data-folder]");
form.noValidate = true;
form.classList.add("scripted");
form.querySelectorAll("[data-scripted]").forEach((part) => { part.hidden = false; });
form.querySelectorAll("[data-unscripted]").forEach((part) => { part.hidden = true; });
form.elements.file.addEventListener("change", () => takeInput(form.elements.file));
folder.addEventListener("change", () => takeInput(folder));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  await taking;
  if (!queue.entries.some((entry) => entry.state === "selected")) {
    hint(t("Select one or more pictures first."));
    return;
  }
  start(queue);
  pump();
});
view.part("cancel-all").addEventListener("click", () => {
  queue.entries.filter(isBusy).forEach(abandon);
  pump();
});
view.part("retry-all").addEventListener("click", () => {
  queue.entries.filter(mayRetry).forEach((entry) => retry(queue, entry));
  pump();
});
view.part("clear").addEventListener("click", () => {
  clear(queue);
  files.clear();
  pump();
  form.elements.file.focus();
});

const drop = form.querySelector("[data-drop]");
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
window.addEventListener("dragover", (event) => {
  if (carriesFiles(event)) { event.preventDefault(); drop.classList.add("over"); }
});
window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) { drop.classList.remove("over"); } });
window.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) { return; }
  event.preventDefault();
  drop.classList.remove("over");
  takeAll(ofDrop(event.dataTransfer), t("Reading the folders"));
});
window.addEventListener("beforeunload", (event) => { if (queue.entries.some(isBusy)) { event.preventDefault(); } });

refresh();
if (before.damaged) { hint(t("The list of the upload before cannot be read. Its results are in the list of all results.")); }
if (form.elements.file.files.length) { takeInput(form.elements.file); } // chosen before this file was loaded
queue.entries.filter((entry) => entry.state === "unknown" && entry.digest).forEach(look);
