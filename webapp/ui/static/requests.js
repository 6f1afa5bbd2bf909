// Requests for the parts of a film, each within a time limit; what fails is an Error with words for people.
import { t, told } from "./words.js";

// The response to a GET.
export async function fetched(address, seconds) {
  let response;
  try {
    response = await fetch(address, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(1000 * seconds) });
  } catch (error) {
    throw inWords(error);
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw new Error(told(problem, ". ") || t("The server answered with status {status}.", { status: response.status }));
  }
  return response;
}

// The bytes of a response: a connection that breaks or takes too long is an error here, too.
export async function bytesOf(response) {
  try {
    return await response.arrayBuffer();
  } catch (error) {
    throw inWords(error);
  }
}

function inWords(error) {
  return new Error(error.name === "TimeoutError" ? t("The server took too long.") : t("The server did not respond."));
}

// Show an error after an element, in the place of an earlier one of that kind.
export function showError(after, kind, words) {
  clearError(kind);
  const failed = document.createElement("p");
  failed.className = "card error";
  failed.dataset.failed = kind;
  failed.setAttribute("role", "alert");
  failed.textContent = t("Error: {words}", { words });
  after.after(failed);
}

export function clearError(kind) {
  document.querySelectorAll(`[data-failed="${kind}"]`).forEach((alert) => alert.remove());
}
