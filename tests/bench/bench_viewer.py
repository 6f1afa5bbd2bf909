"""The time of a frame while window and level are dragged: a film of 2048 x 2048 values of 16 bits, in Chromium.

`python -m tests.bench.bench_viewer`. By WebGL2 and by a table; without a graphics processor the viewer uses the table
alone, and WebGL2 is measured for comparison. The median is to stay below GOAL_MS, so that a drag is smooth.
"""

import argparse
import shutil
import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import Route, sync_playwright

from tests.browser.conftest import _QUIET
from tests.browser.test_film16 import HIDDEN

STATIC = Path(__file__).parents[2] / "webapp" / "ui" / "static"
GOAL_MS = 33.0
FRAMES = 60
HARDWARE = """() => {
  const gl = document.createElement("canvas").getContext("webgl2");
  const named = gl?.getExtension("WEBGL_debug_renderer_info");
  return Boolean(named) && !/swiftshader|llvmpipe/i.test(gl.getParameter(named.UNMASKED_RENDERER_WEBGL));
}"""
MEASURE = """async ([kind, frames]) => {
  const { TableRenderer, WebglRenderer, edges } = await import("/film16.js");
  const side = 2048;
  const film = { width: side, height: side, slope: 1, intercept: 0, values: new Uint16Array(side * side) };
  for (let at = 0; at < film.values.length; at += 1) { film.values[at] = (at * 2654435761) % 4096; }
  const canvas = document.createElement("canvas");
  document.body.append(canvas);
  const renderer = new (kind === "webgl2" ? WebglRenderer : TableRenderer)(canvas, film);
  const times = [];
  for (let frame = 0; frame < frames; frame += 1) {
    await new Promise(requestAnimationFrame);
    const before = performance.now();
    renderer.draw(edges(film, 3000 - 20 * frame, 2000 + frame), false);
    const { gl } = renderer;
    gl?.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits until it is drawn
    times.push(performance.now() - before);
  }
  return times;
}"""


def main() -> int:
    """Print the medians; returns 1 if that of what the viewer uses here is over the goal."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    slow = False
    arguments = [each for each in _QUIET if each != "--disable-gpu"]
    arguments += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page()
        page.route("**/*", _static)
        page.goto("http://bench.test/")
        hardware = page.evaluate(HARDWARE)
        page.add_init_script(HIDDEN)
        page.reload()
        for kind in ("webgl2", "table"):
            times = sorted(page.evaluate(MEASURE, [kind, FRAMES]))
            note = "" if kind == "table" or hardware else " (in software: the viewer does not use it)"
            print(f"{kind:<7} median {median(times):6.1f} ms a frame (min {times[0]:.1f}, max {times[-1]:.1f}){note}")
            slow = slow or (not note and median(times) > GOAL_MS)
        browser.close()
    print(f"goal: median < {GOAL_MS:.0f} ms: {'MISSED' if slow else 'met'}")
    return int(slow)


def _static(route: Route) -> None:
    file = STATIC / route.request.url.rpartition("/")[2]
    if file.suffix == ".js" and file.is_file():
        route.fulfill(content_type="text/javascript", body=file.read_text())
    else:
        route.fulfill(content_type="text/html", body="<!doctype html><title>bench</title><body>")


if __name__ == "__main__":
    sys.exit(main())
