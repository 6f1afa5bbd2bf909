// Makes the upload comfortable: drag and drop, previews, a busy state, and a retry that keeps the files.
// Everything works without this file; every result and every error is rendered by the server.
"use strict";

let lastFiles = null; // the files of the upload that was sent last, for "Try again with the same files"

function listChosen(form) {
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
    size > limit ? `These files are larger together than ${Math.floor(limit / 1048576)} MB. Choose fewer.` : "");
}

function busy(form, words) {
  form.querySelector("[data-busy]").textContent = words;
  form.querySelectorAll("button").forEach((button) => { button.disabled = words !== ""; });
}

// The server's page replaces this one, so an error shown here is the error the server rendered.
function show(html, where) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const main = page.querySelector("main");
  if (!main) { throw new Error("no page"); }
  document.querySelector("main").replaceChildren(...main.childNodes);
  document.title = page.title;
  if (where) { history.pushState({}, "", where); }
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
  let answer, html;
  try {
    answer = await fetch(action, { method: "POST", body, headers: { Accept: "text/html" } });
    html = await answer.text();
    if (answer.redirected && answer.ok) { window.location.assign(answer.url); return; }
    show(html, null);
  } catch {
    showOffline();
  }
}

function prepareUpload(form) {
  const drop = form.querySelector("[data-drop]");
  form.querySelector("[data-drop-hint]").hidden = false;
  form.elements.file.addEventListener("change", () => listChosen(form));
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    form.elements.file.files = event.dataTransfer.files;
    listChosen(form);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const files = Array.from(form.elements.file.files);
    busy(form, files.length === 1 ? "Assessing the picture" : `Assessing ${files.length} pictures`);
    await send(files, form.action);
    busy(form, "");
  });
  listChosen(form);
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
  document.querySelectorAll("img[data-picture]:not([data-ready])").forEach((image) => {
    image.dataset.ready = "";
    const failed = () => {
      const note = document.createElement("p");
      note.className = "card error";
      note.setAttribute("role", "alert");
      note.textContent = `Error: “${image.alt}” could not be loaded. Reload the page to try again.`;
      (image.closest("[aria-hidden]") ?? image).replaceWith(note); // where a screen reader finds it
    };
    if (image.complete && image.naturalWidth === 0) { failed(); } else { image.addEventListener("error", failed); }
  });
}

// Coming back by the browser's button must not show a form that is still busy.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-upload]").forEach((form) => busy(form, ""));
});
prepare();
