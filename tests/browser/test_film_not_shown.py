"""A film that is not shown, or not as it is stored: the page says so, and no key reviews a film that is not seen."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import Stack, Watched
from tests.browser.viewer_pages import labels, nth, ready, said, send_half, upload, wait_for_film

PICTURE = "img[data-picture]"
NOISE = """() => {
  const read = CanvasRenderingContext2D.prototype.getImageData;
  CanvasRenderingContext2D.prototype.getImageData = function (...box) {
    const image = read.apply(this, box);
    for (let at = 0; at < image.data.length; at += 40) { image.data[at] ^= 1; }
    return image;
  };
}"""


@pytest.fixture
def path(stack: Stack, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The page of a drawing that no other test uses."""
    return upload(stack, browser, tmp_path, [(512, 512)], request.node.name)[0]


def test_a_film_is_hidden_and_not_reviewed_by_a_key_until_all_of_it_is_there(stack: Stack, watched: Watched, path: str):
    page = watched.page
    held: list[Route] = []
    page.route("**/image.png", lambda route: held.append(route))
    page.goto(stack.ui.url + path, wait_until="domcontentloaded")
    route = nth(page, held, 0)
    ready(page)
    expect(page.locator(PICTURE)).to_have_css("visibility", "hidden")
    expect(page.get_by_text("No picture is loaded")).to_be_visible()
    page.keyboard.press("2")
    said(page, "Not saved: the film is still being loaded.")
    route.continue_()
    wait_for_film(page)
    assert labels(stack, page, path) == []
    page.keyboard.press("2")
    said(page, "Saved: no pneumonia.")
    assert labels(stack, page, path) == ["no pneumonia"]
    assert watched.complaints == []


def test_half_a_film_is_an_error_and_no_key_reviews_it(stack: Stack, watched: Watched, path: str):
    page = watched.page
    send_half(stack, page, path, "image.png")
    page.goto(stack.ui.url + path)
    expect(page.locator("[data-film]").get_by_role("alert")).to_contain_text("could not be loaded")
    expect(page.locator("[data-film] img, .stage")).to_have_count(0)
    ready(page)
    page.keyboard.press("1")
    said(page, "Not saved: the film is not shown. Use the form to review it all the same.")
    assert labels(stack, page, path) == []


def test_half_a_heat_map_is_an_error(stack: Stack, watched: Watched, path: str):
    page = watched.page
    send_half(stack, page, path, "heatmap.png")
    page.goto(stack.ui.url + path)
    wait_for_film(page)
    page.get_by_label("Heat map over the film").click()
    expect(page.get_by_role("alert")).to_contain_text("the heat map cannot be shown over the film")
    expect(page.get_by_label("Heat map over the film")).not_to_be_checked()
    expect(page.locator(".stage canvas")).to_have_count(1)
    expect(page.locator("[data-legend]")).to_be_hidden()


def test_a_browser_that_changes_the_pixels_of_a_canvas_shows_the_plain_picture(
    stack: Stack, watched: Watched, path: str
):
    page = watched.page
    page.add_init_script(f"({NOISE})()")
    page.goto(stack.ui.url + path)
    expect(page.locator("[data-shown]")).to_have_text("It cannot be adjusted in this browser.")
    expect(page.locator(PICTURE)).to_be_visible()
    expect(page.locator(".stage")).to_have_count(0)
    expect(page.get_by_role("button", name="Invert")).to_be_disabled()
    assert watched.complaints == []


def test_a_film_without_room_is_shown_again(stack: Stack, watched: Watched, path: str):
    page = watched.page
    page.goto(stack.ui.url + path)
    wait_for_film(page)
    width = "document.querySelector('.stage').getBoundingClientRect().width"
    page.evaluate("document.querySelector('.viewer').hidden = true")
    expect(page.locator("[data-shown]")).to_have_text("Shown at 1 %.")
    page.keyboard.press("+")
    page.evaluate("document.querySelector('.viewer').hidden = false")
    assert page.evaluate(width) > 10
    page.keyboard.press("0")
    assert page.evaluate(width) > 300
    assert watched.complaints == []


def test_the_film_says_that_it_is_not_shown_as_it_is_stored(stack: Stack, watched: Watched, path: str, shoot):
    page = watched.page
    page.goto(stack.ui.url + path)
    wait_for_film(page)
    words = page.locator("[data-film] [data-changed]")
    expect(words).to_be_hidden()
    page.locator("[data-slider=width]").fill("80")
    expect(words).to_have_text("Window 80, level 128.")
    page.get_by_role("button", name="Invert").click()
    expect(words).to_have_text("Window 80, level 128. Inverted.")
    shoot(page, "viewer-changed")
    page.emulate_media(media="print")
    expect(page.locator(PICTURE)).to_be_visible()
    expect(page.locator(".stage")).to_be_hidden()
    expect(words).to_be_hidden()
    shoot(page, "viewer-print")
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Reset").click()
    expect(words).to_be_hidden()
    assert watched.complaints == []
