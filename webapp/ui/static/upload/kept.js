// Keep the list of an upload for a reload of the page: in this tab only, until it is closed or the list is cleared.
// Names, states and ids are kept, never a picture.

const NAME = "upload";
const FIELDS = [
  ...["key", "path", "size", "modified", "state", "reason", "posted", "digest", "unreadable"],
  ...["id", "finding", "probability", "threshold", "point", "cautions"],
];

// Whether the list could be kept.
export function keep(queue) {
  try {
    if (queue.entries.length + queue.leftOut.length === 0) {
      sessionStorage.removeItem(NAME);
    } else {
      sessionStorage.setItem(NAME, JSON.stringify({ entries: queue.entries, leftOut: queue.leftOut }, pick));
    }
    return true;
  } catch {
    return false;
  }
}

function pick(name, value) {
  const isEntry = value && typeof value === "object" && "key" in value;
  return isEntry ? Object.fromEntries(FIELDS.filter((field) => field in value).map((field) => [field, value[field]])) : value;
}

// What the page kept before its reload, or null.
export function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(NAME) ?? "null");
    return Array.isArray(found?.entries) && Array.isArray(found.leftOut) ? found : null;
  } catch {
    return null;
  }
}
