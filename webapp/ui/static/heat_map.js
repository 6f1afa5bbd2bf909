// The heat map over the film, which the reader turns on.
import { drawHeatMap } from "./film.js";
import { bytesOf, clearError, fetched, showError } from "./requests.js";
import { t } from "./words.js";

const SECONDS = 60; // it is computed when it is first asked for

// The heat map, or an Error with words for people.
async function fetchHeatMap(address) {
  const content = await bytesOf(await fetched(address, SECONDS));
  try {
    return await createImageBitmap(new Blob([content]));
  } catch {
    throw new Error(t("The answer is no picture."));
  }
}

export function prepareHeatMap(viewer, tools, opacity) {
  const box = tools.querySelector("[data-heat]");
  const status = tools.querySelector("[data-heat-status]");
  const legend = document.querySelector("[data-legend]");
  let layer = null;
  let loading = false;
  const show = () => {
    const shown = box.checked && layer !== null;
    if (layer) {
      layer.hidden = !shown;
      layer.style.opacity = String(Number(opacity.value) / 100);
    }
    tools.querySelector("[data-value=opacity]").textContent = opacity.value;
    legend.hidden = !shown;
    tools.querySelector("[data-colours]").hidden = !shown;
  };
  box.addEventListener("change", async () => {
    if (layer || !box.checked || loading) { show(); return; }
    loading = true;
    clearError("heat-map");
    status.textContent = t("Loading the heat map");
    try {
      const heatMap = await fetchHeatMap(box.dataset.heat);
      const drawn = viewer.addCanvas("");
      try {
        drawHeatMap(heatMap, viewer.picture.width, viewer.picture.height, drawn, legend);
      } catch (error) {
        drawn.remove();
        throw error;
      } finally {
        heatMap.close();
      }
      layer = drawn;
    } catch (error) {
      box.checked = false;
      showError(status, "heat-map", t("the heat map cannot be shown over the film. {reason}", { reason: error.message }));
    }
    loading = false;
    status.textContent = "";
    show();
  });
  opacity.addEventListener("input", show);
}
