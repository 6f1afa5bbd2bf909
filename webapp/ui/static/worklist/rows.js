// The rows of the list in the page, and those of a page of the list that the server has now.
import { t, tn } from "../words.js";

const UNATTENDED = { "X-Unattended": "1" };

// A page of the list, parsed; rejects with a reason in words if the server answers with anything else.
// unattended: the script asks by itself, which keeps no session alive.
export async function load(address, signal, unattended = false) {
  let page;
  let response;
  try {
    response = await fetch(address, { headers: { Accept: "text/html", ...(unattended && UNATTENDED) }, signal });
    page = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    throw new Error(t("The server did not respond."));
  }
  if (response.ok && page.querySelector("[data-list]")) { return page; }
  page.querySelectorAll(".mark").forEach((mark) => mark.remove());
  const said = Array.from(page.querySelectorAll("main .error h2, main .error h2 + p, main .card[role=status] p:first-child"));
  const words = said.map((each) => each.textContent.trim()).join(". ").replace(/^Error: /, "").replaceAll("..", ".");
  const error = new Error(words || t("The server answered with status {status}. Reload the page.", { status: response.status }));
  throw Object.assign(error, { status: response.status });
}

const rowsOf = (part) => Array.from(part.querySelectorAll("tr[data-id]"));
const idsOf = (part) => rowsOf(part).map((row) => row.dataset.id);

// Replace the whole list, its count and what it is in words.
export function take(box, page) {
  const list = page.querySelector("[data-list]");
  box.dataset.position = list.dataset.position;
  box.replaceChildren(...list.childNodes);
  for (const part of [".count", ".on-paper", ".filters .apply", "[data-received]"]) { replaceText(part, page); }
  ready();
}

function replaceText(part, page) {
  const [old, now] = [document.querySelector(part), page.querySelector(part)];
  if (old && now && old.innerHTML !== now.innerHTML && !old.contains(document.activeElement)) {
    old.replaceChildren(...Array.from(now.childNodes, (node) => document.importNode(node, true)));
  }
}

// Pictures that do not load are told by page.js; other scripts may listen.
function ready() {
  window.prepare?.();
  document.dispatchEvent(new Event("list-changed"));
}

// Bring the rows that are in the page and in the list up to date where they are, and mark those that left the list.
// No row moves. Of a result only its review changes, unless it was erased and sent again.
export function merge(box, page) {
  const now = new Map(rowsOf(page).map((row) => [row.dataset.id, row]));
  const complete = !page.querySelector("[rel=next]"); // otherwise a row may only have moved to the next page
  for (const row of rowsOf(box)) {
    const next = now.get(row.dataset.id);
    if (!next) { markGone(row, complete); } else { bringUpToDate(row, next); }
  }
  replaceText(".count", page);
  ready();
}

function bringUpToDate(row, next) {
  if (timeOf(row) !== timeOf(next)) {
    row.replaceWith(document.importNode(next, true));
    return;
  }
  markGone(row, false);
  row.classList.toggle("new", next.classList.contains("new"));
  const [old, now] = [row, next].map((each) => each.querySelector(".reviewed"));
  if (old.innerHTML !== now.innerHTML) { old.replaceWith(document.importNode(now, true)); }
}

const timeOf = (row) => row.querySelector("time").dateTime;

function markGone(row, gone) {
  if (row.classList.toggle("gone", gone) === Boolean(row.querySelector("[data-gone]"))) { return; }
  if (!gone) { row.querySelector("[data-gone]").remove(); return; }
  const note = document.createElement("span");
  note.className = "sr";
  note.dataset.gone = "";
  note.textContent = `${t("no longer in this list:")} `;
  row.querySelector("th").prepend(note);
}

// How the list differs from what the page shows, in words; empty if it does not.
export function whatChanged(box, page) {
  const failed = (part) => part.querySelector("[data-received] .error")?.textContent.trim() ?? "";
  const rows = whatChangedInRows(box, page);
  if (failed(document) === failed(page)) { return rows; }
  return failed(page) ? t("Films that were sent by DICOM have no result. {rows}", { rows }).trim() : rows || t("The list has changed.");
}

function whatChangedInRows(box, page) {
  const [before, now] = [idsOf(box), idsOf(page)];
  const added = now.filter((id) => !before.includes(id)).length;
  const removed = before.filter((id) => !now.includes(id)).length;
  if (added) { return tn("{n} new result in this list.", "{n} new results in this list.", added); }
  if (removed) { return tn("{n} result is no longer in this part of the list.", "{n} results are no longer in this part of the list.", removed); }
  const damaged = (part) => part.querySelector("section.error ul")?.textContent ?? "";
  const ordered = now.every((id, at) => id === before[at]);
  return !ordered || damaged(box) !== damaged(page) ? t("The list has changed.") : "";
}
