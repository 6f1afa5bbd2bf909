"""Keys on the list and on the page of a result in a real browser: twenty reviews by keyboard alone, and what fails."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST, assess, show_together
from tests.browser.viewer_pages import labels, nth, open_film, ready, said, upload, wait_for_film

LABELS = {"1": "pneumonia", "2": "no pneumonia", "3": "unsure"}


@pytest.fixture(scope="module")
def paths(stack: Stack, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The pages of twenty drawings, in the order of the list."""
    return upload(stack, browser, tmp_path_factory.mktemp("films"), [(128, 128)] * 20, "keys")[::-1]


@pytest.fixture
def three(stack: Stack, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """The pages of three drawings that no other test uses, in the order of the list."""
    return upload(stack, browser, tmp_path, [(128, 128)] * 3, request.node.name)[::-1]


def test_twenty_reviews_by_two_keys_each(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    page.goto(f"{stack.ui.url}{paths[0]}?q=keys")
    for number, path in enumerate(paths):
        page.wait_for_url(f"**{path}?q=keys")
        expect(page.locator(".where")).to_have_text(f"{number + 1} of 20")
        ready(page)
        wait_for_film(page)
        page.keyboard.press("21"[number % 2])
        page.keyboard.press("j")
    said(page, "This is the last result in the list.")
    for number, path in enumerate(paths):
        assert labels(stack, page, path) == [LABELS["21"[number % 2]]], path
    assert watched.complaints == []


def test_a_review_says_that_it_was_saved_and_stays_on_the_film(stack: Stack, watched: Watched, three: list[str], shoot):
    page = watched.page
    open_film(stack, page, three[0])
    page.get_by_label("Comment").fill("12 j")
    page.get_by_label("Comment").press("2")
    page.get_by_label("pneumonia", exact=True).focus()
    page.keyboard.press("3")
    said(page, "Saved: unsure.")
    expect(page.get_by_text("Saved: unsure.")).to_have_count(1)  # said once
    expect(page.locator("#film")).to_be_focused()
    film, words = page.locator("[data-film]").bounding_box(), page.locator("[data-said]").bounding_box()
    assert words["x"] >= film["x"] + film["width"], "the words hide a part of the film"
    expect(page.locator("#feedback")).to_contain_text("unsure")
    expect(page.locator("#feedback")).to_contain_text("12 j2")
    expect(page.get_by_label("Comment")).to_have_value("")
    shoot(page, "keys-saved")
    assert page.url.endswith(three[0])
    assert labels(stack, page, three[0]) == ["unsure"]
    assert watched.complaints == []


def test_a_key_saves_a_review_after_the_theme_was_changed(stack: Stack, watched: Watched, three: list[str]):
    page = watched.page
    open_film(stack, page, three[0])
    page.get_by_text("Theme", exact=True).click()
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(page.get_by_text("Theme", exact=True)).to_be_visible()
    page.keyboard.press("3")
    said(page, "Saved: unsure.")
    assert labels(stack, page, three[0]) == ["unsure"]


def test_a_key_pressed_twice_saves_one_review(stack: Stack, watched: Watched, three: list[str]):
    page = watched.page
    held: list[Route] = []
    page.route("**/feedback", lambda route: held.append(route))
    open_film(stack, page, three[0])
    page.keyboard.press("2")
    page.keyboard.press("2")
    page.keyboard.press("1")
    said(page, "The last review is still being saved.")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    page.keyboard.press("j")
    assert page.url.endswith(three[0]), "the next film is shown before the review is saved"
    nth(page, held, 0).continue_()
    page.wait_for_url(f"**{three[1]}*")
    page.go_back()
    ready(page)
    wait_for_film(page)
    page.keyboard.press("1")
    nth(page, held, 1).continue_()
    said(page, "Saved: pneumonia.")
    page.keyboard.press("1")
    said(page, "Already saved: pneumonia.")
    assert len(held) == 2
    assert labels(stack, page, three[0]) == ["no pneumonia", "pneumonia"]
    assert labels(stack, page, three[1]) == []


def test_a_review_that_is_not_saved_is_an_error_and_the_film_stays(
    stack: Stack, watched: Watched, three: list[str], shoot
):
    page = watched.page
    open_film(stack, page, three[0])
    stack.redis.kill()
    try:
        page.keyboard.press("2")
        page.keyboard.press("j")
        expect(page.get_by_role("alert")).to_contain_text("Error: the review was not saved")
        shoot(page, "keys-not-saved")
        page.keyboard.press("2")
        expect(page.get_by_role("alert")).to_contain_text("not known whether it was")
        page.keyboard.press("k")  # after the error, which a fast reader may not have seen
        expect(page.get_by_role("alert")).to_contain_text("Error: the review was not saved. Save it with 1, 2 or 3")
        page.keyboard.press("k")
        said(page, "This is the first result in the list.")
    finally:
        stack.redis.start()
    assert page.url.endswith(three[0])
    page.route("**/feedback", lambda route: route.abort())
    page.keyboard.press("2")
    expect(page.get_by_role("alert")).to_contain_text("the server did not respond")
    page.unroute("**/feedback")
    page.keyboard.press("2")
    said(page, "Saved: no pneumonia.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_keys_of_the_film(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    open_film(stack, page, paths[1])
    size = "document.querySelector('.stage').getBoundingClientRect().width"
    fitted = page.evaluate(size)
    for key, factor in (("+", 1.25), ("+", 1.5625), ("-", 1.25), ("0", 1)):
        page.keyboard.press(key)
        assert page.evaluate(size) == pytest.approx(factor * fitted, rel=1e-3)
    page.keyboard.press("i")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Control+i")
    page.keyboard.press("Alt+0")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("h")
    expect(page.locator("[data-legend]")).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("[data-legend]")).to_be_hidden()
    page.keyboard.press("k")
    page.wait_for_url(f"**{paths[0]}*")
    assert watched.complaints == []


def test_keys_of_the_list_and_the_way_to_its_search(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    page.goto(f"{stack.ui.url}/predictions?q=keys")
    ready(page)
    rows = page.locator("tbody a.file")
    for key, row in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(rows.nth(row)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/predictions/*?q=keys")
    ready(page)
    page.keyboard.press("/")
    page.wait_for_url("**/predictions?q=keys#search")
    expect(page.get_by_label("File name")).to_be_focused()
    page.keyboard.type("j1?/")
    expect(page.get_by_label("File name")).to_have_value("j1?/")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert watched.complaints == []


def test_help_and_the_switch_that_turns_the_keys_off(stack: Stack, watched: Watched, paths: list[str]):
    page = watched.page
    page.goto(stack.ui.url + paths[0])
    ready(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next and previous result")
    page.keyboard.press("j")
    page.get_by_label("Use these keys").uncheck()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("i")
    for _ in range(2):
        wait_for_film(page)
        ready(page)
        for key in "ij?":
            page.keyboard.press(key)
        expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.url.endswith(paths[0])
        page.reload()
    ready(page)
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Use these keys").check()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.wait_for_url(f"**{paths[1]}*")


def test_without_a_finding_or_a_picture_the_keys_of_the_film_say_so(stack: Stack, watched: Watched, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    page = watched.page
    assess(page, stack, [broken])
    show_together(page)
    page.get_by_role("link", name="broken.png").click()
    ready(page)
    expect(page.locator("[data-film]")).to_contain_text("No picture")
    for key, words in (("i", "The film cannot be adjusted."), ("h", "No heat map can be shown over this film.")):
        page.keyboard.press(key)
        said(page, words)
    assert page.evaluate(CONTRAST) == []
    assert watched.complaints == []
