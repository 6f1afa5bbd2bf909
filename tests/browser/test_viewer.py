"""The film of a result in a real browser: window and level, zoom, the heat map over it, and what fails of it."""

import io
import itertools
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST, FINDINGS
from tests.browser.viewer_pages import nth, pixel, upload, wait_for_film

FILM = ".stage canvas:first-child"
LAYER = ".stage canvas:nth-child(2)"
SHIFTS = """() => {
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) { window.shift += entry.value; }
  }).observe({type: "layout-shift", buffered: true});
}"""


@pytest.fixture(scope="module")
def paths(stack: Stack, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The pages of drawings of several sizes: square, small, large, and narrower than a legend."""
    sizes = [(512, 512), (224, 224), (1200, 1200), (250, 600), (700, 451)]
    return upload(stack, browser, tmp_path_factory.mktemp("films"), sizes, "viewer")


def served(stack: Stack, page: Page, path: str, name: str) -> Image.Image:
    """A picture as the page serves it."""
    answer = page.request.get(f"{stack.ui.url}{path}/{name}")
    assert answer.ok
    return Image.open(io.BytesIO(answer.body()))


def zoom(page: Page) -> float:
    """CSS pixels of the screen for one of the picture."""
    return page.locator(".stage").evaluate("stage => stage.getBoundingClientRect().width / stage.offsetWidth")


def slide(page: Page, name: str, value: int) -> None:
    """Move a slider, as its arrow keys would."""
    page.locator(f"[data-slider={name}]").fill(str(value))


def test_window_level_and_invert_change_what_is_shown(stack: Stack, watched: Watched, paths: list[str], shoot):
    page = watched.page
    page.goto(stack.ui.url + paths[0])
    wait_for_film(page)
    stored = int(served(stack, page, paths[0], "image.png").getpixel((200, 300)))
    assert 20 < stored < 235
    assert pixel(page, FILM, 200, 300) == [stored] * 3 + [255]
    page.get_by_role("button", name="Invert").click()
    assert pixel(page, FILM, 200, 300)[0] == 255 - stored
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Reset").click()
    slide(page, "width", 1)
    slide(page, "level", stored)
    assert pixel(page, FILM, 200, 300)[0] == 255
    slide(page, "level", stored + 1)
    assert pixel(page, FILM, 200, 300)[0] == 0
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("Window").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-value=width]")).to_have_text("255")
    box = page.locator("[data-film]").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down(button="right")
    page.mouse.move(middle[0] - 100, middle[1] + 30)
    page.mouse.up(button="right")
    expect(page.locator("[data-value=width]")).to_have_text("155")
    expect(page.locator("[data-value=level]")).to_have_text("158")
    page.mouse.down(button="right")
    for part in range(1, 17):
        page.mouse.move(middle[0] - 100 + part / 4, middle[1] + 30)
    page.mouse.up(button="right")
    expect(page.locator("[data-value=width]")).to_have_text("159")  # a fine mouse moves by parts of a pixel
    shoot(page, "viewer-window")
    assert watched.complaints == []


def test_the_wheel_zooms_at_the_pointer_and_the_film_can_be_moved(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    page.goto(stack.ui.url + paths[0])
    wait_for_film(page)
    fitted, box = zoom(page), page.locator("[data-film]").bounding_box()
    at = (box["x"] + box["width"] / 2 + 120, box["y"] + box["height"] / 2 - 90)
    under = """(stage, [x, y]) => {
      const box = stage.getBoundingClientRect();
      return [(x - box.left) / box.width, (y - box.top) / box.height];
    }"""
    before = page.locator(".stage").evaluate(under, at)
    page.mouse.move(*at)
    page.mouse.wheel(0, -400)
    page.wait_for_function(
        "(old) => document.querySelector('.stage').getBoundingClientRect().width / 512 > old", arg=fitted
    )
    assert page.locator(".stage").evaluate(under, at) == pytest.approx(before, abs=1e-3)
    left = page.locator(".stage").bounding_box()["x"]
    page.mouse.down()
    page.mouse.move(at[0] + 50, at[1])
    page.mouse.up()
    assert page.locator(".stage").bounding_box()["x"] == pytest.approx(left + 50, abs=1)
    page.keyboard.press("ArrowRight")
    assert page.locator(".stage").bounding_box()["x"] == pytest.approx(left + 10, abs=1)
    page.mouse.down()
    page.mouse.move(at[0] - 9000, at[1])
    page.mouse.up()
    stage = page.locator(".stage").bounding_box()
    assert stage["x"] + stage["width"] >= box["x"] + 39, "the film has been moved out of sight"
    page.get_by_role("button", name="1:1").click()
    assert zoom(page) == pytest.approx(1)
    page.get_by_role("button", name="Reset").click()
    assert zoom(page) == pytest.approx(fitted)


def test_two_fingers_zoom(stack: Stack, browser: Browser, paths: list[str]):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(stack.ui.url + paths[0])
    wait_for_film(page)
    fitted, box = zoom(page), page.locator("[data-film]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = context.new_cdp_session(page)
    for kind, apart in (("touchStart", 30), ("touchMove", 45), ("touchMove", 60)):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function(
        "least => document.querySelector('.stage').getBoundingClientRect().width / 512 >= least", arg=1.9 * fitted
    )
    assert zoom(page) == pytest.approx(2 * fitted, rel=0.02)
    context.close()


@pytest.mark.parametrize("number", range(5))
def test_the_heat_map_over_the_film_is_the_one_that_is_served(
    stack: Stack, watched: Watched, paths: list[str], shoot, number: int
):
    page = watched.page
    page.goto(stack.ui.url + paths[number])
    wait_for_film(page)
    expect(page.locator(LAYER)).to_have_count(0)
    expect(page.get_by_text("Red: covering this part")).to_be_hidden()
    page.get_by_label("Heat map over the film").check()
    expect(page.locator(LAYER)).to_be_visible()
    expect(page.locator("[data-legend]")).to_be_visible()
    expect(page.get_by_text("Red: covering this part")).to_be_visible()
    composed = served(stack, page, paths[number], "heatmap.png").convert("RGB")
    width, height = page.locator(LAYER).evaluate("layer => [layer.width, layer.height]")
    margin = (composed.width - width) // 2
    grey = served(stack, page, paths[number], "image.png").resize((width, height), Image.Resampling.BILINEAR)
    opacities = []
    for x, y in itertools.product(range(5, width, width // 8), range(5, height, height // 8)):
        *colour, opacity = pixel(page, LAYER, x, y)
        share = opacity / 255
        mixed = [share * part + (1 - share) * grey.getpixel((x, y)) for part in colour]
        assert mixed == pytest.approx(composed.getpixel((x + margin, y)), abs=3)
        opacities.append(opacity)
    assert max(opacities) > 20, "no colour was compared"
    shoot(page, f"viewer-heat-map-{number}")
    slide(page, "opacity", 40)
    expect(page.locator(LAYER)).to_have_css("opacity", "0.4")
    page.get_by_label("Heat map over the film").uncheck()
    expect(page.locator(LAYER)).to_be_hidden()
    assert watched.complaints == []


def test_a_heat_map_that_fails_says_so_and_can_be_tried_again(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    page.goto(stack.ui.url + paths[0])
    wait_for_film(page)
    tick = page.get_by_label("Heat map over the film")
    problem = '{"title": "Busy", "detail": "Wait a moment.", "status": 503}'
    answers = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=problem),
        lambda route: route.fulfill(status=200, content_type="image/png", body=b"\x89PNG\r\n\x1a\n"),
        lambda route: route.fulfill(path=Path(__file__).parents[2] / "docs" / "page.png"),
    ]
    for answer, words in zip(answers, ("did not respond", "Busy. Wait", "no picture", "does not fit"), strict=True):
        page.route("**/heatmap.png", answer)
        tick.click()
        expect(page.get_by_role("alert")).to_contain_text("the heat map cannot be shown")
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(tick).not_to_be_checked()
        expect(page.locator(LAYER)).to_have_count(0)
        expect(page.locator("[data-legend]")).to_be_hidden()
        page.unroute("**/heatmap.png")
    tick.click()
    expect(page.locator(LAYER)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_film_that_does_not_load_is_an_error_and_no_black_film(
    stack: Stack, watched: Watched, paths: list[str], shoot
):
    page = watched.page
    page.route("**/image.png", lambda route: route.abort())
    page.goto(stack.ui.url + paths[0])
    expect(page.locator("[data-film]").get_by_role("alert")).to_contain_text("could not be loaded")
    expect(page.locator(".stage")).to_have_count(0)
    expect(page.get_by_role("button", name="Invert")).to_be_disabled()
    assert page.evaluate(CONTRAST) == []
    shoot(page, "viewer-failed")


def test_a_film_that_is_damaged_is_an_error(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    page.route(
        "**/image.png", lambda route: route.fulfill(content_type="image/png", body=b"\x89PNG\r\n\x1a\n" + b"x" * 99)
    )
    page.goto(stack.ui.url + paths[0])
    expect(page.locator("[data-film]").get_by_role("alert")).to_contain_text("could not be loaded")
    expect(page.locator(".stage")).to_have_count(0)


def test_a_small_picture_says_its_size_and_is_not_blown_up(stack: Stack, watched: Watched, paths: list[str], shoot):
    page = watched.page
    page.goto(stack.ui.url + paths[1])
    wait_for_film(page)
    expect(page.locator(".film-note")).to_contain_text(
        "224 \N{MULTIPLICATION SIGN} 224 pixels, 8 bits, not of diagnostic quality."
    )
    assert zoom(page) <= 2
    expect(page.locator("[data-shown]")).to_have_text("Enlarged to 200 %.")
    shoot(page, "viewer-small")
    page.goto(stack.ui.url + paths[2])
    wait_for_film(page)
    expect(page.locator(".film-note")).to_contain_text(
        "1024 \N{MULTIPLICATION SIGN} 1024 pixels of the 1200 \N{MULTIPLICATION SIGN} 1200 that were sent"
    )


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_nothing_moves_when_the_film_comes(stack: Stack, browser: Browser, paths: list[str], width: int, number: int):
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    page.add_init_script(f"({SHIFTS})()")
    held: list[Route] = []
    page.route("**/image.png", lambda route: held.append(route))
    page.goto(stack.ui.url + paths[number], wait_until="domcontentloaded")
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    nth(page, held, 0).continue_()
    wait_for_film(page)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shift = page.evaluate("window.shift")
    print(f"cumulative layout shift {shift:.4f}")
    assert shift < 0.05
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "dark"), (320, "light")])
def test_the_page_of_a_film_fits(stack: Stack, browser: Browser, paths: list[str], shoot, width: int, scheme: str):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(stack.ui.url + paths[0])
    wait_for_film(page)
    page.get_by_label("Heat map over the film").check()
    expect(page.locator("[data-legend]")).to_be_visible()
    shoot(page, f"viewer-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    expect(page.locator(".film")).to_have_css("background-color", "rgb(0, 0, 0)")
    page.evaluate("window.scrollTo(0, 0)")
    film, rail = page.locator(".film").bounding_box(), page.locator(".film-rail").bounding_box()
    if width > 832:
        assert rail["width"] == 320 and rail["x"] >= film["x"] + film["width"]
    else:
        assert rail["y"] >= film["y"] + film["height"]
    page.get_by_text("Details", exact=True).focus()
    expect(page.locator(".stage")).to_be_in_viewport(ratio=0.3)  # also while the end of the rail is read
    focused = page.get_by_text("Details", exact=True).bounding_box()
    assert (
        width > 832
        or focused["y"] >= page.locator(".film").bounding_box()["y"] + page.locator(".film").bounding_box()["height"]
    )
    page.evaluate("window.scrollTo(0, 0)")
    page.get_by_role("button", name="Keys").click()
    shoot(page, f"viewer-help-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = [
        page.locator(f".scale {part}").first.evaluate("part => getComputedStyle(part).fill")
        for part in (".limit", ".gap")
    ]
    assert contrast(*colours) >= 3, "the operating point in the bar"
    context.close()


def contrast(*colours: str) -> float:
    """The contrast of two colours, by WCAG 2's relative luminance."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, bright = sorted(map(light, colours))
    return (bright + 0.05) / (dark + 0.05)


def test_without_scripts_the_plain_picture_and_the_heat_map_beside_it(
    stack: Stack, scriptless, paths: list[str], shoot
):
    page = scriptless.new_page()
    page.goto(stack.ui.url + paths[1])
    picture = page.get_by_alt_text("The picture that was sent")
    expect(picture).to_be_visible()
    assert picture.bounding_box()["width"] == 224
    expect(
        page.get_by_text("224 \N{MULTIPLICATION SIGN} 224 pixels, 8 bits, not of diagnostic quality.")
    ).to_be_visible()
    expect(page.locator("[data-tools]")).to_be_hidden()
    expect(page.locator("[data-keys]")).to_be_hidden()
    page.get_by_role("link", name="Show heat map").click()
    expect(page.get_by_alt_text("Heat map over the picture")).to_be_visible()
    expect(page.locator("figcaption", has_text="Red: covering this part")).to_be_visible()
    expect(page.locator(FINDINGS)).to_have_count(1)
    shoot(page, "viewer-scriptless")
    page.route("**/image.png", lambda route: route.abort())
    page.reload()
    expect(page.get_by_text("No picture is loaded")).to_be_visible()
