"""The film of 16 bits in a real browser: the same greys with WebGL2 and without, and what fails of it."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from model import phantom
from model.images.decode import decode
from tests.browser.conftest import _QUIET, Stack, Watched
from tests.browser.viewer_pages import wait_for_film
from tests.model.conftest import Films
from tests.webapp.servers import TOKEN

WIDTH, HEIGHT = 1100, 1300
STORED = "[data-stored]"
CANVAS = ".stage canvas:first-child"
# Set the sliders, and read the canvas before it is shown: a canvas of WebGL forgets then.
READ = """(canvas, window) => {
  for (const [name, value] of Object.entries(window)) {
    const slider = document.querySelector(`[data-slider=${name}]`);
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
  }
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const pen = copy.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const data = pen.getImageData(0, 0, copy.width, copy.height).data;
  const row = Math.floor(copy.height / 3);
  return [...data.slice(4 * row * copy.width, 4 * (row + 1) * copy.width)].filter((_, at) => at % 4 === 0);
}"""
# Chromium has no graphics processor here: it computes WebGL2 itself, which the viewer sees and does not use.
HIDDEN = """(() => {
  const get = WebGL2RenderingContext.prototype.getExtension;
  WebGL2RenderingContext.prototype.getExtension = function (name) {
    return name === "WEBGL_debug_renderer_info" ? null : get.call(this, name);
  };
})()"""
NO_WEBGL = """(() => {
  const get = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    return kind === "webgl2" ? null : get.call(this, kind, options);
  };
})()"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Stack]:
    """A stack that keeps films of 16 bits."""
    started = Stack.started(tmp_path_factory.mktemp("stack"), tiny_bundle, KEEP_16_BIT_MB="8")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium with WebGL2, computed by the processor."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no Chromium: install the package chromium")
    arguments = [each for each in _QUIET if each != "--disable-gpu"]
    arguments += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()


def values() -> np.ndarray:
    """A film of 12 bits with noise, uint16 [HEIGHT, WIDTH]."""
    drawn = np.asarray(phantom.draw(101, HEIGHT), np.float64)[:, :WIDTH] * 15
    return (drawn + np.random.default_rng(1).normal(0, 9, drawn.shape)).clip(0, 4095).astype(np.uint16)


def sent(stack: Stack, page: Page, name: str, content: bytes) -> str:
    """Have a file assessed; the path of its page."""
    files = {"file": {"name": name, "mimeType": "application/dicom", "buffer": content}}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = page.request.post(f"{stack.api.url}/v1/predictions", multipart=files, headers=headers)
    assert answer.status == 201, answer.text()
    return f"/predictions/{answer.json()['predictions'][0]['id']}"


def made(**tags: object) -> bytes:
    return Films.content(Films.make(values(), 12, **tags))


WINDOW = {"WindowCenter": "1900", "WindowWidth": "3001"}


def shown(row: np.ndarray, width: float, level: float, dark: bool = False) -> np.ndarray:
    """The greys of stored values, by PS3.3 C.11.2.1.2.1."""
    share = ((row - (level - 0.5)) / (width - 1) + 0.5).clip(0, 1) if width > 1 else (row > level - 0.5) * 1.0
    return np.rint(255 * (1 - share if dark else share))


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(("drawn", "script"), [("webgl2", HIDDEN), ("table", ""), ("table", NO_WEBGL)])
def test_every_window_shows_the_greys_that_dicom_defines(
    stack: Stack, watched: Watched, shoot, drawn: str, script: str, photometric: str
) -> None:
    page, dark = watched.page, photometric == "MONOCHROME1"
    path = sent(stack, page, f"{photometric}.dcm", made(PhotometricInterpretation=photometric, **WINDOW))
    page.add_init_script(script)
    page.goto(stack.ui.url + path)
    expect(page.locator(STORED)).to_have_text(f"{WIDTH} \N{MULTIPLICATION SIGN} {HEIGHT} pixels, 16 bits")
    film = page.locator(CANVAS)
    expect(film).to_have_attribute("data-drawn", drawn)
    expect(page.locator("[data-value=width]")).to_have_text("3001")
    expect(page.locator("[data-changed]")).to_be_hidden()
    shoot(page, f"film16-{drawn}-{photometric}")
    row = values()[HEIGHT // 3].astype(float)
    for width, level in ((3001, 1900), (400, 2100), (60, 1500), (2, 1234), (1, 1700), (6000, 100)):
        greys = np.array(film.evaluate(READ, {"width": width, "level": level}))
        assert np.abs(greys - shown(row, width, level, dark)).max() <= 1, (width, level)
    page.get_by_role("button", name="Invert").click()
    greys = np.array(film.evaluate(READ, {"width": 500, "level": 2000}))
    assert np.abs(greys - shown(row, 500, 2000, not dark)).max() <= 1
    expect(page.locator("[data-changed]")).to_have_text("Window 500, level 2000. Inverted.")
    shoot(page, f"film16-{drawn}-{photometric}-narrow")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("[data-value=level]")).to_have_text("1900")
    assert watched.complaints == []


def test_the_first_window_shows_the_film_as_the_picture_does(stack: Stack, watched: Watched) -> None:
    page, content = watched.page, made(**WINDOW)
    page.goto(stack.ui.url + sent(stack, page, "first.dcm", content))
    expect(page.locator(STORED)).to_contain_text("16 bits")
    greys = np.array(page.locator(CANVAS).evaluate(READ, {}))
    if not greys.any():  # it was shown already
        greys = np.array(page.locator(CANVAS).evaluate(READ, {"width": 3001}))
    assert np.abs(greys - np.asarray(decode(content).grey)[HEIGHT // 3].astype(int)).max() <= 1


def test_a_window_that_was_set_before_the_film_came_stays(stack: Stack, watched: Watched) -> None:
    page, held = watched.page, []
    page.route("**/view.bin", lambda route: held.append(route))
    page.goto(stack.ui.url + sent(stack, page, "before.dcm", made(**WINDOW)))
    wait_for_film(page)
    expect(page.get_by_text("Loading the film with 16 bits")).to_be_visible()
    page.locator("[data-slider=width]").fill("52")
    page.locator("[data-slider=level]").fill("128")
    held[0].continue_()
    expect(page.locator(STORED)).to_contain_text("16 bits")
    expect(page.locator("[data-changed]")).to_have_text("Window 601, level 1900.")  # a fifth of 3000, in its middle
    expect(page.get_by_text("Loading the film with 16 bits")).to_have_count(0)


def test_a_lost_graphics_processor_changes_nothing_that_is_seen(stack: Stack, watched: Watched) -> None:
    page = watched.page
    page.add_init_script(HIDDEN)
    page.goto(stack.ui.url + sent(stack, page, "lost.dcm", made(**WINDOW)))
    film = page.locator(CANVAS)
    expect(film).to_have_attribute("data-drawn", "webgl2")
    before = film.evaluate(READ, {"width": 700, "level": 1800})
    film.evaluate("canvas => canvas.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()")
    expect(film).to_have_attribute("data-drawn", "table")
    expect(page.locator("[data-changed]")).to_have_text("Window 700, level 1800.")
    assert np.abs(np.array(film.evaluate(READ, {})) - np.array(before)).max() <= 1


@pytest.mark.parametrize("fault", ["half", "no end", "changed", "nothing", "error", "too long"])
def test_a_film_that_is_not_whole_is_an_error_and_the_picture_stays(
    stack: Stack, watched: Watched, shoot, fault: str
) -> None:
    page = watched.page
    path = sent(stack, page, "fault.dcm", made(**WINDOW))
    whole = page.request.get(f"{stack.ui.url}{path}/view.bin").body()
    middle = len(whole) // 2
    bodies = {
        "half": whole[:middle],
        "no end": whole[:-2],
        "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "nothing": b"",
    }
    if fault == "error":
        stack.redis.client().delete(f"pneumo:1:film:{path[-32:]}")
    elif fault == "too long":
        page.add_init_script(
            "const of = AbortSignal.timeout.bind(AbortSignal); AbortSignal.timeout = (ms) => of(ms / 100)"
        )
        page.route("**/view.bin", lambda route: None)
    else:
        page.route("**/view.bin", lambda route: route.fulfill(body=bodies[fault]))
    page.goto(stack.ui.url + path)
    words = {"error": "lost or damaged", "too long": "The server took too long."}.get(
        fault, "It is cut off or damaged."
    )
    alert = page.locator("[data-tools]").get_by_role("alert")
    expect(alert).to_contain_text("Error: the film of 16 bits cannot be shown; the picture of 8 bits is.")
    expect(alert).to_contain_text(words)
    wait_for_film(page)
    expect(page.locator(STORED)).to_contain_text("8 bits")
    expect(page.locator(CANVAS)).not_to_have_attribute("data-drawn", "webgl2")
    expect(page.locator("[data-value=width]")).to_have_text("256")
    if fault == "half":
        shoot(page, "film16-half")


def test_a_film_of_8_bits_asks_for_none_and_says_nothing(stack: Stack, watched: Watched) -> None:
    page, buffer = watched.page, io.BytesIO()
    phantom.draw(7, 512).save(buffer, "PNG")
    page.goto(stack.ui.url + sent(stack, page, "plain.png", buffer.getvalue()))
    wait_for_film(page)
    expect(page.get_by_text("Loading the film with 16 bits")).to_have_count(0)
    expect(page.locator(STORED)).to_contain_text("8 bits")
    assert watched.complaints == []
