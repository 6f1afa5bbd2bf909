// Keys on the list and on the page of a result. Each does what a link, a button or a form of the page does.
import { t, tc } from "./words.js";

const OFF = "pneumo-keys-off"; // in localStorage while the reader has turned the keys off
const LABELS = { 1: "pneumonia", 2: "no pneumonia", 3: "unsure" };
const TOOLS = { i: "invert", "+": "in", "=": "in", "-": "out", 0: "reset" };
const SAVE_MS = 60 * 1000; // a request without an answer ends, too
const ON_NO_TEXT = ["button", "checkbox", "radio", "range", "reset", "submit"]; // inputs in which letters are not typed

const dialog = document.getElementById("keys");
const switched = dialog.querySelector("[data-keys-on]");
let saving = null; // the review on its way, a promise: whether it was saved
let saved = null; // the last one that was saved from this page, without a comment
let unsaved = false; // the last one was not saved, and no key to leave the film has been pressed since
let abandoned = null; // the comment of which the reader was told that it is not saved
let leaving = false; // the next page is asked for: a review that starts now may be cut off, or be meant for the next film

function say(words) {
  document.querySelectorAll(".said[role=alert]").forEach((alert) => alert.remove());
  document.querySelector("[data-said]").textContent = words;
}

function fail(words) {
  say("");
  const alert = document.createElement("p");
  alert.className = "said error";
  alert.setAttribute("role", "alert");
  alert.textContent = t("Error: {words}", { words });
  document.querySelector("[data-said]").after(alert);
}

function readSwitch() {
  try { return localStorage.getItem(OFF) === null; } catch { return true; } // no storage: on until the next page
}

function keepSwitch() {
  try {
    if (switched.checked) { localStorage.removeItem(OFF); } else { localStorage.setItem(OFF, "1"); }
  } catch { /* it holds for this page */ }
}

function typing(element) {
  if (element.isContentEditable || ["TEXTAREA", "SELECT"].includes(element.tagName)) { return true; }
  return element.tagName === "INPUT" && !ON_NO_TEXT.includes(element.type);
}

async function goTo(rel) {
  if (saving && !(await saving)) { unsaved = false; return; } // the error of the review is shown: it must be seen
  if (unsaved) { // also by a reader who pressed the key while it was about to be shown
    unsaved = false;
    fail(t("the review was not saved. Save it with 1, 2 or 3, or press the key again to leave it."));
    return;
  }
  const link = document.querySelector(`.places a[rel=${rel}]`);
  const comment = document.querySelector("#feedback [name=comment]")?.value.trim() ?? "";
  if (link && comment && comment !== abandoned) {
    abandoned = comment;
    say(t("The comment is not saved. Save it with 1, 2 or 3, or press the key again to leave it."));
  } else if (link) {
    leaving = true;
    say(rel === "next" ? t("Loading the next result") : t("Loading the previous result"));
    window.location.assign(link.href);
  } else if (document.querySelector(".places .where strong")) {
    say(rel === "next" ? t("This is the last result in the list.") : t("This is the first result in the list."));
  } else {
    say(t("There is no such result in the list, or the place in the list is not known."));
  }
}

function goToRow(step) {
  const rows = Array.from(document.querySelectorAll(".worklist a.file"));
  const at = rows.indexOf(document.activeElement?.closest("tr")?.querySelector("a.file"));
  const next = at < 0 ? 0 : at + step;
  if (rows[next]) { rows[next].focus(); } else { say(step > 0 ? t("This is the end of the page.") : t("This is the top of the page.")); }
}

function move(rel) {
  if (document.querySelector(".worklist")) { goToRow(rel === "next" ? 1 : -1); } else { goTo(rel); }
}

// Post the form of the page with this label, and show what the server then shows of the reviews.
async function post(form, label) {
  const body = new URLSearchParams(new FormData(form));
  body.set("label", label);
  const comment = form.elements.comment;
  form.querySelectorAll("button").forEach((button) => { button.disabled = true; });
  if (comment) { comment.readOnly = true; } // what is typed now would be lost, or taken for keys, when the form is replaced
  try {
    const [headers, signal] = [{ Accept: "text/html" }, AbortSignal.timeout(SAVE_MS)];
    const response = await fetch(form.action, { method: "POST", body, headers, signal });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const reviews = page.getElementById("feedback");
    if (response.ok && response.redirected && reviews) {
      reviews.querySelector("#saved")?.remove(); // the word of the key says the same
      const writing = comment !== undefined && comment === document.activeElement;
      document.getElementById("feedback").replaceWith(reviews);
      (writing ? reviews.querySelector("[name=comment]") : document.getElementById("film"))?.focus({ preventScroll: true });
      return null;
    }
    page.querySelectorAll(".mark").forEach((mark) => mark.remove());
    const reason = Array.from(page.querySelectorAll("main .error h2, main .error h2 + p"), (each) => each.textContent.trim())
      .join(". ").replace(/^Error: /, "");
    if (response.status === 401) { return t("the review was not saved: your session has ended. Log in again in another tab, then save it again."); }
    return t("the review was not saved, or it is not known whether it was. {reason}", { reason: reason || t("The server answered with status {status}.", { status: response.status }) });
  } catch {
    return t("the server did not respond. The review may have been saved: reload the page to see.");
  } finally {
    form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
    if (comment) { comment.readOnly = false; }
  }
}

// Why a key cannot save a review of the film now, or nothing: a film that the reader cannot see is not reviewed by a key.
function hindrance() {
  if (leaving) { return t("Not saved: another page is being loaded. Press Escape to stay."); }
  const area = document.querySelector("[data-film]");
  if (area?.classList.contains("loading")) { return t("Not saved: the film is still being loaded."); }
  if (area?.querySelector(".error")) { return t("Not saved: the film is not shown. Use the form to review it all the same."); }
  return "";
}

async function review(label) {
  const form = document.querySelector("#feedback [name=label]")?.form;
  if (!form) { return; }
  const hindered = hindrance();
  if (hindered) { say(hindered); return; }
  if (saving) { say(t("The last review is still being saved.")); return; }
  const comment = form.elements.comment?.value.trim() ?? "";
  if (saved === label && !comment) { say(t("Already saved: {label}.", { label: tc("review", label, label) })); return; }
  say(t("Saving the review"));
  saving = post(form, label).then((fault) => {
    unsaved = fault !== null;
    if (fault) { fail(fault); } else {
      saved = comment ? null : label;
      say(t("Saved: {label}.", { label: tc("review", label, label) }));
    }
    return fault === null;
  });
  await saving;
  saving = null;
}

function use(tool) {
  const button = document.querySelector(`[data-tool=${tool}]`);
  if (button?.disabled === false) { button.click(); } else if (document.getElementById("film")) { say(t("The film cannot be adjusted.")); }
}

function heatMap() {
  const box = document.querySelector("[data-heat]");
  if (box?.disabled === false) { box.click(); } else if (document.getElementById("film")) { say(t("No heat map can be shown over this film.")); }
}

function search() {
  const field = document.querySelector("input[type=search]");
  if (field) { field.focus(); field.select(); return; }
  const list = document.querySelector(".places a.list") ?? document.querySelector("nav a[href='/predictions']");
  if (list) { window.location.assign(`${list.href}#search`); }
}

function act(key) {
  if (key === "j") { move("next"); } else if (key === "k") { move("prev"); } else if (key === "h") { heatMap(); }
  else if (key === "/") { search(); } else if (key === "?") { dialog.showModal(); }
  else if (Object.hasOwn(TOOLS, key)) { use(TOOLS[key]); }
  else if (Object.hasOwn(LABELS, key)) { review(LABELS[key]); }
  else { return false; }
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) { return; }
  if (!switched.checked || dialog.open || typing(event.target)) { return; }
  if (event.repeat && !"+=-".includes(event.key) && !document.querySelector(".worklist")) { return; } // a held key skips no film
  if (act(event.key)) { event.preventDefault(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") { leaving = false; } }); // the browser stops
document.addEventListener("submit", (event) => { // theme.js, for one, answers a form itself
  if (event.target.method !== "dialog" && !event.defaultPrevented) { leaving = true; }
});
document.addEventListener("click", (event) => {
  if (event.target.closest(".places a[href]") && !event.ctrlKey && !event.metaKey && !event.shiftKey) { leaving = true; }
});
window.addEventListener("pageshow", () => { // also after Back, which can show the page as it was left
  [leaving, saved, unsaved] = [false, null, false];
  switched.checked = readSwitch();
});
window.addEventListener("storage", () => { switched.checked = readSwitch(); });
window.addEventListener("beforeunload", (event) => { if (saving) { event.preventDefault(); } });
switched.checked = readSwitch();
switched.addEventListener("change", keepSwitch);
const button = document.querySelector("[data-keys]");
button.addEventListener("click", () => dialog.showModal());
button.disabled = false;
if (window.location.hash === "#search") { search(); }
