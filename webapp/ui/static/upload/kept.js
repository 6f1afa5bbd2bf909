// Keep the list of an upload for a reload of the page: in this tab only, until it is closed or the list is cleared.
// Names, states and ids are kept, never a picture.
import { isList } from "./queue.js";

// Another user of this tab has a list of their own, and does not see this one.
const NAME = ["upload", document.querySelector("form[data-upload]")?.dataset.user].filter(Boolean).join(" of ");
const FIELDS = [
  ...["key", "path", "size", "modified", "state", "reason", "posted", "digest", "unreadable"],
  ...["id", "finding", "probability", "threshold", "point", "cautions"],
];

// Whether the list could be kept. If not, nothing is kept: an older list would call files unsent that were sent.
export function keep(queue) {
  try {
    if (queue.entries.length + queue.leftOut.length === 0) {
      sessionStorage.removeItem(NAME);
    } else {
      sessionStorage.setItem(NAME, JSON.stringify({ entries: queue.entries, leftOut: queue.leftOut }, pick));
    }
    return true;
  } catch {
    forget();
    return false;
  }
}

function pick(name, value) {
  const isEntry = value && typeof value === "object" && "key" in value;
  return isEntry ? Object.fromEntries(FIELDS.filter((field) => field in value).map((field) => [field, value[field]])) : value;
}

function forget() {
  try { sessionStorage.removeItem(NAME); } catch { /* this browser keeps nothing */ }
}

// What the page kept before its reload: `list`, or null; `damaged`: there was one, and it cannot be shown.
export function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(NAME) ?? "null");
    const list = found && isList(found) ? found : null;
    return { list, damaged: Boolean(found) && !list };
  } catch (error) {
    return { list: null, damaged: error instanceof SyntaxError };
  }
}
