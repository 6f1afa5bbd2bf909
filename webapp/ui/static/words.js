// The words of the scripts in the language of the page. English is in the scripts; words/LANGUAGE.js, which the page
// loads before them, has the others. A text that is missing there is shown in English.

const { texts = {}, codes = {} } = globalThis.pneumoWords ?? {};
export const LANGUAGE = globalThis.document?.documentElement.lang || "en";

// A text; {name} in it stands for a value.
export function t(english, values = {}) {
  return (texts[english] ?? english).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? shown(values[name]) : whole));
}

// A text about a number of things, {n} in it.
export function tn(one, many, n, values = {}) {
  return t(n === 1 ? one : many, { n, ...values });
}

// The words for a code of the server; English ones for a code that is not known here.
export function tc(kind, code, english) {
  return codes[`${kind}:${code}`] ?? english;
}

// Words that are kept, and shown later, maybe in another language: {text, values}, or {kind, code, text}.
// A plain string is shown as it is.
export function shown(words) {
  if (typeof words !== "object" || words === null) { return String(words); }
  return words.kind ? tc(words.kind, words.code, words.text) : t(words.text, words.values);
}

export function isWords(words) {
  if (typeof words === "string") { return true; }
  return typeof words?.text === "string" && (words.values === undefined || Object(words.values) === words.values);
}

// What the server tells in its JSON, in the language of the page.
export function told(problem, between = ": ") {
  if (problem?.shown) { return problem.shown; }
  return problem?.title ? `${problem.title}${between}${problem.detail}` : (problem?.detail ?? "");
}

// A number in text, such as 0.500 or > 0.999, as the language writes it.
export function decimal(text) {
  return LANGUAGE === "es" ? text.replace(".", ",") : text;
}
