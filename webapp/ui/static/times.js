// Shows times in the reader's zone, with UTC on hover. The page works without this file: the server writes UTC.
// Times that are added to the page later are shown so, too.
import { LANGUAGE } from "./words.js";

const PARTS = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const FORM = new Intl.DateTimeFormat("en-GB", { ...PARTS, hourCycle: "h23", timeZoneName: "short" });

// Year, month and day in this order, which nobody misreads (in Spanish as it is written there), and the zone, as some times of the page are UTC.
function local(date) {
  const part = Object.fromEntries(FORM.formatToParts(date).map(({ type, value }) => [type, value]));
  const day = LANGUAGE === "es" ? `${part.day}/${part.month}/${part.year}` : `${part.year}-${part.month}-${part.day}`;
  return `${day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
}

function show(time) {
  const date = new Date(time.dateTime);
  if ("local" in time.dataset || Number.isNaN(date.getTime())) { return; }
  time.dataset.local = "";
  time.title = time.textContent;
  time.textContent = local(date);
}

const showBelow = (element) => element.querySelectorAll("time[datetime]").forEach(show);

showBelow(document);
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) {
      if (node.nodeType !== Node.ELEMENT_NODE) { continue; }
      if (node.matches("time[datetime]")) { show(node); } else { showBelow(node); }
    }
  }
}).observe(document.body, { childList: true, subtree: true });
