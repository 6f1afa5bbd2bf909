// What was dropped or chosen: folders are read completely, and what is no picture is named, not sent.
// From a folder the same files are sent as by `pneumoctl predict`: pictures, by suffix or first bytes.

const SUFFIXES = [".jpeg", ".jpg", ".png", ".dcm", ".dicom"];
const SIGNATURES = [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], [0xff, 0xd8, 0xff]];
const SYSTEM = ["thumbs.db", "desktop.ini"];

// The files of an input; those of a folder come with their path in it.
export function ofInput(input) {
  return sorted(Array.from(input.files, (file) => ({ path: file.webkitRelativePath || file.name, file })));
}

// The files of a drop as {files, leftOut, unreadable}. Call it at once: the browser forgets a drop after its event.
export function ofDrop(transfer) {
  const found = { files: [], leftOut: [], unreadable: [] };
  const items = Array.from(transfer.items ?? []).filter((item) => item.kind === "file");
  const entries = items.map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  return Promise.all(entries.map(({ entry, file }) => {
    if (entry) { return walk(entry, "", found); }
    return file && found.files.push({ path: file.name, file });
  })).then(() => {
    sorted(found.files);
    return found;
  });
}

const sorted = (files) => files.sort((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)));

async function walk(entry, folder, found) {
  const path = folder + entry.name;
  if (isHidden(entry.name)) {
    found.leftOut.push({ path: entry.isDirectory ? `${path}/` : path, reason: { text: "hidden" } });
    return;
  }
  try {
    if (entry.isFile) {
      found.files.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
      return;
    }
    const children = await childrenOf(entry);
    if (children.length === 0) { found.leftOut.push({ path: `${path}/`, reason: { text: "an empty folder" } }); }
    for (const child of children) { await walk(child, `${path}/`, found); }
  } catch {
    found.unreadable.push({ path: entry.isDirectory ? `${path}/` : path, reason: { text: "It cannot be read." } });
  }
}

// readEntries gives at most 100 entries a call.
async function childrenOf(folder) {
  const reader = folder.createReader();
  const children = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) { return children; }
    children.push(...part);
  }
}

const isHidden = (name) => name.startsWith(".") || SYSTEM.includes(name.toLowerCase());

// Divide files into those to send and those to leave out, with the reason.
export async function selected(files) {
  const reasons = await Promise.all(files.map(({ path, file }) => whyLeftOut(path, file)));
  const leftOut = files.map(({ path }, at) => ({ path, reason: reasons[at] })).filter((each) => each.reason);
  return { pictures: files.filter((_, at) => !reasons[at]), leftOut };
}

async function whyLeftOut(path, file) {
  const parts = path.split("/");
  if (parts.some(isHidden)) { return { text: "hidden" }; }
  if (file.name === "DICOMDIR") { return { text: "the index of a DICOM medium" }; }
  if (SUFFIXES.some((suffix) => file.name.toLowerCase().endsWith(suffix))) { return ""; }
  try {
    const head = new Uint8Array(await file.slice(0, 132).arrayBuffer());
    const dicom = new TextDecoder("latin1").decode(head.slice(128)) === "DICM";
    const known = SIGNATURES.some((bytes) => bytes.every((byte, at) => head[at] === byte));
    return dicom || known ? "" : { text: "no picture by its name or its first bytes" };
  } catch {
    return ""; // sending it will say that it cannot be read
  }
}
