// Says of each picture that does not load that it failed.
// The page works without this file; the server renders every result and every error.
import { t } from "./words.js";

function prepare() {
  document.querySelectorAll("img[data-thumbnail]:not([data-ready])").forEach((image) => {
    image.dataset.ready = "";
    const failed = () => {
      const note = document.createElement("span");
      note.className = "thumbnail failed";
      note.textContent = t("not loaded");
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
      note.textContent = t("Error: “{picture}” could not be loaded. Reload the page to try again.", { picture: image.alt });
      (image.closest("[aria-hidden]") ?? image).replaceWith(note); // outside of what is hidden from screen readers
    };
    if (image.complete && image.naturalWidth === 0) { failed(); } else { image.addEventListener("error", failed); }
  });
}

window.prepare = prepare; // for a list that changes
prepare();
