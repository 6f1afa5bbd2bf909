// Show the upload queue: a row for each file, the counts, and what was left out.
import { counts, hasEnded, hasNoResult, isBusy, kindOf, mayRetry, mustBeChosenAgain, nameOf, ordered } from "./queue.js";
import { decimal, LANGUAGE, shown, t, tc } from "../words.js";

const BADGES = { // class, mark and words of each kind; a finding below the threshold names its operating point
  selected: ["plain", "+", t("Chosen")],
  queued: ["plain", "…", t("In the queue")],
  sending: ["plain", "↑", t("Sending")],
  waiting: ["plain", "…", t("Waiting")],
  pneumonia: ["pneumonia", "●", t("Signs of pneumonia")],
  "no pneumonia": ["clear", "○", t("Below threshold")],
  refused: ["refused", "△", t("Not assessed")],
  error: ["broken", "✕", t("Error: no result")],
  cancelled: ["broken", "✕", t("Cancelled: no result")],
  unsent: ["broken", "✕", t("Not sent: choose it again")],
  unknown: ["broken", "?", t("Not known: the answer was lost")],
};
const COUNTED = [
  ["error", t("errors")], ["unknown", t("not known")], ["unsent", t("not sent")], ["cancelled", t("cancelled")],
  ["pneumonia", t("with signs of pneumonia")], ["no pneumonia", t("below threshold")], ["refused", t("not assessed")],
  ["sending", t("being sent")], ["waiting", t("waiting")], ["queued", t("in the queue")], ["selected", t("chosen")],
];
const LINKED = 20; // results on a page of results

function make(tag, className, ...content) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

// A number as the server words it: never equal to the other one by rounding, never a false 0 or 1.
export function inWords(value, other) {
  if (value !== other && Math.abs(value - other) < 0.001) { return decimal(value.toFixed(6)); }
  if (value >= 0.9995 && value < 1) { return decimal("> 0.999"); }
  return value > 0 && value < 0.0005 ? decimal("< 0.001") : decimal(value.toFixed(3));
}

// The list in the page. `box`: its section; `act(action, entry)` is called for the buttons of the rows.
export class View {
  constructor(box, act) {
    this.box = box;
    this.rows = new Map(); // key of an entry -> {row, shown}
    this.previews = new Map(); // key -> address of the picture in this browser
    this.list = this.part("queue");
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-act]");
      if (button) { act(button.dataset.act, Number(button.closest("li").dataset.key)); }
    });
  }

  part(name) { return this.box.querySelector(`[data-${name}]`); }

  preview(entry, file) {
    this.forgetPreview(entry.key);
    if (["image/png", "image/jpeg"].includes(file.type)) { this.previews.set(entry.key, URL.createObjectURL(file)); }
  }

  // Bring the page in line with the queue.
  show(queue, now) {
    this.box.hidden = queue.entries.length + queue.leftOut.length === 0;
    const focus = this.focused();
    const entries = ordered(queue);
    const keys = new Set(entries.map((entry) => entry.key));
    for (const key of this.rows.keys()) { if (!keys.has(key)) { this.drop(key); } }
    const first = new Map(); // id of a result -> the first entry of it
    for (const entry of queue.entries) { if (entry.id && !first.has(entry.id)) { first.set(entry.id, entry); } }
    entries.forEach((entry, at) => {
      const same = first.get(entry.id);
      const row = this.row(entry, queue, now, same && same !== entry ? same.path : "");
      if (this.list.children[at] !== row) { this.list.insertBefore(row, this.list.children[at] ?? null); }
    });
    this.summary(queue);
    this.leftOut(queue);
    this.restore(focus);
  }

  drop(key) {
    this.rows.get(key).row.remove();
    this.rows.delete(key);
    this.forgetPreview(key);
  }

  forgetPreview(key) {
    if (this.previews.has(key)) { URL.revokeObjectURL(this.previews.get(key)); }
    this.previews.delete(key);
  }

  // The row of an entry, built anew only if what it shows has changed.
  // `same`: the path of the entry that has the same result, as the server stores the same file of the same name once.
  row(entry, queue, now, same) {
    const seconds = Math.max(0, Math.ceil((queue.pausedUntil - now) / 1000));
    const shown = JSON.stringify([entry.state, entry.reason, entry.held, entry.id, entry.looking, entry.state === "waiting" && seconds, same, entry.same]);
    const known = this.rows.get(entry.key);
    if (known?.shown === shown) { return known.row; }
    const row = known?.row ?? make("li", "");
    row.dataset.key = entry.key;
    row.dataset.state = kindOf(entry);
    row.replaceChildren(this.picture(entry), name(entry), state(entry, seconds, same), buttons(entry));
    this.rows.set(entry.key, { row, shown });
    return row;
  }

  picture(entry) {
    if (entry.state === "result") { this.forgetPreview(entry.key); }
    const address = entry.state === "result" ? `/predictions/${entry.id}/thumbnail.png` : this.previews.get(entry.key);
    if (!address) { return make("span", "thumbnail"); }
    const image = make("img", "thumbnail");
    Object.assign(image, { alt: "", width: 40, height: 40, loading: "lazy", decoding: "async", src: address });
    image.addEventListener("error", () => {
      image.replaceWith(entry.state === "result" ? make("span", "thumbnail failed", t("not loaded")) : make("span", "thumbnail"));
    });
    return image;
  }

  // How far the request of an entry is; it is assessed when all of it was sent.
  progress(entry) {
    const row = this.rows.get(entry.key)?.row;
    const bar = row?.querySelector("progress");
    if (!bar) { return; }
    bar.value = entry.progress;
    if (entry.progress >= 1) {
      bar.removeAttribute("value");
      row.querySelector("[data-words]").textContent = t("Assessing");
    }
  }

  summary(queue) {
    const { entries } = queue;
    const started = entries.filter((entry) => entry.state !== "selected");
    const ended = started.filter((entry) => !isBusy(entry)).length;
    const bar = this.part("progress");
    bar.hidden = started.length === 0 || ended === started.length;
    Object.assign(bar, { max: Math.max(1, started.length), value: ended });
    const failed = started.filter(hasNoResult).length;
    const without = failed ? t(", {n} without a result", { n: failed }) : "";
    this.part("progress-text").textContent =
      started.length ? t("{n} of {total} done{without}", { n: ended - failed, total: started.length, without }) : t("{n} chosen", { n: entries.length });
    const numbers = counts(queue);
    this.part("counts").replaceChildren(...COUNTED.filter(([kind]) => numbers[kind]).map(([kind, words]) => {
      const noun = kind === "error" && numbers[kind] === 1 ? t("error") : words;
      return make("li", `tally ${BADGES[kind][0]}`, `${numbers[kind]} ${noun}`);
    }));
    this.part("cancel-all").hidden = !entries.some(isBusy);
    this.part("retry-all").hidden = !entries.some(mayRetry);
    this.part("clear").hidden = entries.some(isBusy);
    this.part("no-result").hidden = failed === 0;
    this.together(queue);
  }

  // Links to pages that show the results of the upload with their pictures.
  together(queue) {
    const ids = hasEnded(queue) ? [...new Set(ordered(queue).map((entry) => entry.id).filter(Boolean))] : [];
    const links = [];
    for (let at = 0; at < ids.length; at += LINKED) {
      const some = ids.slice(at, at + LINKED);
      const link = make("a", "button", ids.length > LINKED ? t("Show results {first} to {last}", { first: at + 1, last: at + some.length }) : t("Show the results together"));
      link.href = `/results?${new URLSearchParams(some.map((id) => ["id", id]))}`;
      links.push(link);
    }
    this.part("together").replaceChildren(...links);
  }

  leftOut({ leftOut }) {
    const box = this.part("left-out");
    box.hidden = leftOut.length === 0;
    if (box.querySelectorAll("li").length === leftOut.length) { return; }
    box.querySelector("summary").textContent = t("{n} left out: not sent", { n: leftOut.length });
    box.querySelector("ul").replaceChildren(...leftOut.map(({ path, reason }) => make("li", "", make("bdi", "file", path), `: ${shown(reason)}`)));
  }

  // Rows move and change, and buttons go; the keyboard stays where it was, or goes to the heading.
  focused() {
    const element = document.activeElement;
    if (!this.box.contains(element)) { return null; }
    return { element, key: Number(element.closest("li")?.dataset.key), act: element.dataset.act };
  }

  restore(focus) {
    if (!focus || this.box.hidden) { return; }
    const { element, key, act } = focus;
    if (element.isConnected && !element.closest("[hidden]") && document.activeElement === element) { return; }
    const row = this.rows.get(key)?.row;
    const same = row?.querySelector(`[data-act="${act}"]`) ?? row?.querySelector("a, button");
    (same ?? this.box.querySelector("h2")).focus({ preventScroll: true });
  }
}

function name(entry) {
  const last = nameOf(entry.path);
  const folder = entry.path.slice(0, entry.path.length - last.length);
  const content = [make("bdi", "quiet", folder), make("bdi", "", last)];
  if (!entry.id) { return make("span", "file", ...content); }
  const link = make("a", "file", ...content);
  link.href = `/predictions/${entry.id}`;
  return link;
}

function state(entry, seconds, same) {
  const [className, mark, text] = BADGES[kindOf(entry)];
  const sign = make("span", "", mark);
  sign.setAttribute("aria-hidden", "true");
  const words = make("span", "", entry.finding === "no pneumonia" && entry.point ? t("Below {point}", { point: tc("point", entry.point, entry.point) }) : text);
  words.dataset.words = "";
  const box = make("div", "state", make("span", `badge ${className}`, sign, " ", words));
  if (entry.state === "sending") {
    const bar = make("progress", "");
    bar.setAttribute("aria-label", t("Sending {name}", { name: nameOf(entry.path) }));
    box.append(bar);
  }
  if (entry.state === "result") {
    box.append(make("span", "number", `P ${inWords(entry.probability, entry.threshold)}`));
    if (entry.cautions.length) { box.append(make("span", "caution", `! ${entry.cautions.map((code) => tc("caution-name", code, code.replaceAll("_", " "))).join(", ")}`)); }
  }
  if (entry.state === "waiting") { box.append(make("span", "words", t("Tries again in {seconds} s.", { seconds }))); }
  if (entry.reason) { box.append(make("span", "words", shown(entry.reason))); }
  box.append(...(entry.same ?? []).filter((each) => !same || each.id !== entry.id).map((each) => seenBefore(entry, each)));
  if (same) { box.append(make("span", "words", t("The same file and result as"), " ", make("bdi", "", same), ".")); }
  if (entry.state !== "unsent" && mustBeChosenAgain(entry)) { box.append(make("span", "words", t("To send it, choose it again."))); }
  return box;
}

// A result of the same bytes that the server had before this upload.
function seenBefore(entry, { id, file, folder, created }) {
  const time = make("time", "", `${LANGUAGE === "es" ? created.slice(0, 10).split("-").reverse().join("/") : created.slice(0, 10)} ${created.slice(11, 19)} UTC`);
  time.dateTime = created;
  const link = make("a", "", make("bdi", "", file));
  link.href = `/predictions/${id}`;
  const place = folder ? [` ${t("in")} `, make("bdi", "", folder)] : [];
  return make("p", "same", id === entry.id ? t("Seen before: this is the result of") : t("Seen before: the same file is stored as"), " ", link, ...place, ", ", time, ".");
}

function buttons(entry) {
  const box = make("div", "buttons");
  const add = (act, words) => {
    const button = make("button", "button", words, make("span", "sr", ` ${nameOf(entry.path)}`));
    Object.assign(button, { type: "button" });
    button.dataset.act = act;
    box.append(button);
  };
  if (entry.state === "unknown" && entry.digest && !entry.looking) { add("look", t("Look again")); }
  if (mayRetry(entry)) { add("retry", t("Try again")); }
  if (isBusy(entry)) { add("cancel", t("Cancel")); }
  if (!isBusy(entry) && !entry.id) { add("remove", t("Remove")); } // of a result it would look like erasing it
  return box;
}
