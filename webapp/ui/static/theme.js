// Changes the theme without loading the page anew: an upload goes on, and what was typed stays.
// The page works without this file: the form then asks the server for the cookie.

const YEAR = 365 * 24 * 3600; // seconds
const menu = document.querySelector("[data-theme]");

function keep(name) {
  const secure = window.location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${name}; Path=/; Max-Age=${YEAR}; SameSite=Lax${secure}`;
}

// The light sheet is always there; another one replaces its colours when it has come.
function show({ sheet, media, scheme }) {
  const before = document.querySelectorAll("link[data-theme-sheet]");
  const leave = () => before.forEach((link) => link.remove());
  document.querySelector("meta[name=color-scheme]").content = scheme;
  if (!sheet) { leave(); return; }
  const link = document.createElement("link");
  Object.assign(link, { rel: "stylesheet", href: sheet, media });
  link.dataset.themeSheet = "";
  link.addEventListener("load", leave);
  (before[before.length - 1] ?? document.querySelector("link[data-theme-light]")).after(link);
}

menu.querySelector("form").addEventListener("submit", (event) => {
  const chosen = event.submitter;
  if (!chosen) { return; }
  event.preventDefault();
  keep(chosen.value);
  show(chosen.dataset);
  menu.querySelectorAll("button").forEach((each) => each.setAttribute("aria-pressed", String(each === chosen)));
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.open) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => { if (!menu.contains(event.target)) { menu.open = false; } });
