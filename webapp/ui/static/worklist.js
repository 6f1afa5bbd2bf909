// Searches the list while the reader types, and keeps it up to date while others add and review results.
// The page works without this file: the form then has a button, and a reload shows what is new.
import { load, merge, take, whatChanged } from "./worklist/rows.js";
import { LANGUAGE, t } from "./words.js";

const TYPING_MS = 250;
const SEARCH_MS = 30_000; // then the search has failed
const POLL_MS = 5000;
const QUIET_FAILURES = 2; // in a row; after more, the page says that the list may be out of date
const DEFAULTS = { finding: "all", review: "all", order: "time" };

const form = document.querySelector("form.filters");
const news = document.querySelector("[data-news]");
const box = document.querySelector("[data-list]");
let asked = 0; // the number of the last search: an older answer is not shown
let flight = null; // what aborts its request
let typing = 0;
let searching = false;
let failed = false; // the last search failed: an error stands in place of the list
let position = box.dataset.position;
let heard = new Date(); // when the list was last known to be up to date
let failures = 0;
let polling = false;
let waiting = null; // a page of the list with rows that are not shown yet

function address() {
  const fields = Array.from(new FormData(form)).filter(([name, value]) => value.trim() && DEFAULTS[name] !== value);
  const query = new URLSearchParams(fields).toString();
  return form.getAttribute("action") + (query ? `?${query}` : "");
}

async function search(where = address()) {
  window.clearTimeout(typing);
  flight?.abort();
  const controller = new AbortController();
  flight = controller;
  const tooLong = window.setTimeout(() => controller.abort(), SEARCH_MS);
  const number = ++asked;
  searching = true;
  form.classList.add("busy");
  let page = null;
  let reason = "";
  try { page = await load(where, controller.signal); } catch (error) { reason = error.message; }
  window.clearTimeout(tooLong);
  if (number !== asked) { return; }
  searching = false;
  form.classList.remove("busy");
  if (page) { show(page); } else { fail(where, reason); }
  window.history.replaceState(window.history.state, "", where);
}

// Show a page of the list, all of it.
function show(page) {
  take(box, page);
  position = box.dataset.position;
  heard = new Date();
  [failed, waiting, failures] = [false, null, 0];
  tell();
}

// An error in place of the list: rows of another search below it would be taken for what was found.
function fail(where, reason) {
  failed = true;
  waiting = null;
  const card = document.createElement("section");
  card.className = "card error";
  card.setAttribute("role", "alert");
  const title = document.createElement("h2");
  title.textContent = `✕ ${t("Error: the list could not be searched")}`;
  const words = document.createElement("p");
  words.textContent = `${reason} ${t("This is an error, not a result: it says nothing about any picture.")}`;
  const again = document.createElement("a");
  Object.assign(again, { className: "button", href: where, textContent: t("Try again") });
  card.append(title, words, again);
  box.replaceChildren(card);
  document.querySelector(".count").textContent = "";
  tell();
}

// Say what is new, and that the list may be out of date. The bar lies over the page, so that no row moves.
function tell(words = "", button = "", action = showNew) {
  if (news.dataset.words === words + button) { return; }
  news.dataset.words = words + button;
  news.hidden = words === "";
  news.textContent = words;
  if (button) {
    const show = document.createElement("button");
    Object.assign(show, { type: "button", className: "button", textContent: button });
    show.addEventListener("click", action);
    news.append(" ", show);
  }
}

function showNew() {
  const page = waiting;
  if (!page) { return; }
  const before = new Set(Array.from(box.querySelectorAll("tr[data-id]"), (row) => row.dataset.id));
  show(page);
  const rows = Array.from(box.querySelectorAll("tr[data-id]"));
  (rows.find((row) => !before.has(row.dataset.id)) ?? rows[0])?.querySelector("a.file")?.focus();
}

async function poll() {
  if (document.visibilityState !== "visible" || searching || failed || polling) { return; }
  polling = true;
  const number = asked;
  try {
    const response = await fetch(box.dataset.changes, {
      headers: { Accept: "application/json", "If-None-Match": `"${position || "none"}"` },
      cache: "no-store",
      signal: AbortSignal.timeout(3 * POLL_MS),
    });
    if (response.status === 401) { throw Object.assign(new Error(), { status: 401 }); }
    const now = response.status === 304 ? position : response.ok && (await response.json()).position;
    if (typeof now !== "string") { throw new Error(); }
    const page = now === position ? null : await load(window.location.href, AbortSignal.timeout(3 * POLL_MS), true);
    if (number === asked) { update(page); }
  } catch (error) {
    if (number !== asked) { return; }
    const time = heard.toLocaleTimeString(LANGUAGE === "en" ? undefined : LANGUAGE);
    if (error.status === 401) {
      const words = t("Your session has ended. This list may be out of date: it is as it was at {time}.", { time });
      tell(words, t("Log in"), () => window.location.reload());
    } else if (++failures > QUIET_FAILURES) {
      tell(t("This list may be out of date: since {time} the server has not answered. It is asked again.", { time }));
    }
  } finally {
    polling = false;
  }
}

function update(page) {
  failures = 0;
  heard = new Date();
  if (page) {
    merge(box, page);
    position = page.querySelector("[data-list]").dataset.position;
    waiting = page;
  }
  const changed = waiting ? whatChanged(box, waiting) : "";
  if (!changed) { waiting = null; }
  tell(changed, changed ? t("Show") : "");
}

form.addEventListener("input", (event) => {
  if (event.isComposing) { return; }
  window.clearTimeout(typing);
  typing = window.setTimeout(search, event.target.tagName === "SELECT" ? 0 : TYPING_MS);
});
form.addEventListener("compositionend", () => { typing = window.setTimeout(search, TYPING_MS); });
// Another page follows. If the browser brings this one back as it was, it is as old as that.
function leave() {
  ++asked;
  window.clearTimeout(typing);
  flight?.abort();
  searching = false;
  form.classList.remove("busy");
}

form.addEventListener("submit", leave);
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", (event) => { if (event.persisted) { search(); } });
document.addEventListener("visibilitychange", poll);
window.setInterval(poll, POLL_MS);
