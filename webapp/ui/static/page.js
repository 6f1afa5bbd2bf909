// Adds to the upload form: drag and drop, previews, a busy state, and a retry with the same files.
// The page works without this file; the server renders every result and every error.
"use strict";

let lastFiles = null; // the files of the last upload, for "Try again with the same files"

function listSelected(form) {
  const list = form.querySelector("[data-chosen]");
  list.querySelectorAll("img").forEach((img) => URL.revokeObjectURL(img.src));
  list.replaceChildren(...Array.from(form.elements.file.files, (file) => {
    const item = document.createElement("li");
    if (["image/png", "image/jpeg"].includes(file.type)) {
      const image = document.createElement("img");
      image.alt = "";
      image.src = URL.createObjectURL(file);
      item.append(image);
    } else {
      const blank = document.createElement("span");
      blank.className = "blank";
      item.append(blank);
    }
    item.append(file.name);
    return item;
  }));
  const size = Array.from(form.elements.file.files).reduce((sum, file) => sum + file.size, 0);
  const limit = Number(form.dataset.limit);
  form.elements.file.setCustomValidity(
    size > limit ? `These files have more than ${Math.floor(limit / 1048576)} MB in total. Select fewer.` : "");
}

function setBusy(form, message) {
  form.querySelector("[data-busy]").textContent = message;
  form.querySelectorAll("button").forEach((button) => { button.disabled = message !== ""; });
}

// Replace this page by the one that the server rendered.
function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const main = page.querySelector("main");
  if (!main) { throw new Error("the response is not a page"); }
  document.querySelector("main").replaceChildren(...main.childNodes);
  document.title = page.title;
  prepare();
  document.querySelector("main").focus();
  window.scrollTo(0, 0);
}

function showOffline() {
  document.querySelectorAll("main > .error").forEach((box) => box.remove());
  document.querySelector("main").prepend(document.getElementById("offline").content.cloneNode(true));
  prepare();
}

async function send(files, action) {
  lastFiles = files;
  const body = new FormData();
  for (const file of files) { body.append("file", file, file.name); }
  try {
    const response = await fetch(action, { method: "POST", body, headers: { Accept: "text/html" } });
    const html = await response.text();
    if (response.redirected && response.ok) { window.location.assign(response.url); return; }
    show(html);
  } catch {
    showOffline();
  }
}

function prepareUpload(form) {
  const drop = form.querySelector("[data-drop]");
  form.querySelector("[data-drop-hint]").hidden = false;
  form.elements.file.addEventListener("change", () => listSelected(form));
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    form.elements.file.files = event.dataTransfer.files;
    listSelected(form);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const files = Array.from(form.elements.file.files);
    setBusy(form, files.length === 1 ? "Assessing the picture" : `Assessing ${files.length} pictures`);
    await send(files, form.action);
    setBusy(form, "");
  });
  listSelected(form);
}

function prepare() {
  document.querySelectorAll("form[data-upload]:not([data-ready])").forEach((form) => {
    form.dataset.ready = "";
    prepareUpload(form);
  });
  document.querySelectorAll("[data-resend]").forEach((button) => {
    if (!lastFiles || button.dataset.ready !== undefined) { return; }
    button.dataset.ready = "";
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      button.textContent = "Trying again";
      await send(lastFiles, "/predictions");
      button.disabled = false;
      button.textContent = "Try again with the same files";
    });
  });
  document.querySelectorAll("img[data-thumbnail]:not([data-ready])").forEach((image) => {
    image.dataset.ready = "";
    const failed = () => {
      const note = document.createElement("span");
      note.className = "thumbnail failed";
      note.textContent = "not loaded";
      image.closest("[aria-hidden]").replaceWith(note); // outside of what is hidden from screen readers
    };
    if (image.complete && image.naturalWidth === 0) { failed(); } else { image.addEventListener("error", failed); }
  });
  document.querySelectorAll("img[data-picture]:not([data-ready])").forEach((image) => {
    image.dataset.ready = "";
    const failed = () => {
      const note = document.createElement("p");
      note.className = "card error";
      note.setAttribute("role", "alert");
      note.textContent = `Error: “${image.alt}” could not be loaded. Reload the page to try again.`;
      (image.closest("[aria-hidden]") ?? image).replaceWith(note); // outside of what is hidden from screen readers
    };
    if (image.complete && image.naturalWidth === 0) { failed(); } else { image.addEventListener("error", failed); }
  });
}

// After the browser's Back button the form must not be busy.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-upload]").forEach((form) => setBusy(form, ""));
});
prepare();
