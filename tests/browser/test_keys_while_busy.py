"""Keys pressed while a review is saved or another page is loaded: none is lost, doubled or of another film."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import Stack, Watched
from tests.browser.viewer_pages import labels, nth, open_film, said, upload


@pytest.fixture
def two(stack: Stack, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """The pages of two drawings that no other test uses, in the order of the list."""
    return upload(stack, browser, tmp_path, [(128, 128)] * 2, request.node.name)[::-1]


def test_a_comment_that_is_begun_while_a_review_is_saved_is_no_key(stack: Stack, watched: Watched, two: list[str]):
    page = watched.page
    held: list[Route] = []
    page.route("**/feedback", lambda route: held.append(route))
    open_film(stack, page, two[0])
    page.keyboard.press("2")
    route = nth(page, held, 0)
    page.get_by_label("Comment").focus()
    page.keyboard.type("1j")
    expect(page.get_by_label("Comment")).to_have_value("")
    route.continue_()
    said(page, "Saved: no pneumonia.")
    expect(page.get_by_label("Comment")).to_be_focused()
    page.keyboard.type("1j nodule")
    expect(page.get_by_label("Comment")).to_have_value("1j nodule")
    assert len(held) == 1
    assert labels(stack, page, two[0]) == ["no pneumonia"]
    page.locator("#film").focus()
    page.keyboard.press("j")
    said(page, "The comment is not saved. Save it with 1, 2 or 3, or press the key again to leave it.")
    assert page.url.endswith(two[0])
    page.keyboard.press("j")
    page.wait_for_url(f"**{two[1]}*")
    assert watched.complaints == []


@pytest.mark.parametrize("by", ["key", "link", "form"])
def test_no_review_begins_while_another_page_is_loaded(stack: Stack, watched: Watched, two: list[str], by: str):
    page = watched.page
    open_film(stack, page, two[0])
    held: list[Route] = []
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    page.route(f"**{two[1]}*" if by != "form" else "**/feedback", lambda route: held.append(route))
    if by == "key":
        page.keyboard.press("j")
    elif by == "link":
        page.get_by_role("link", name="Next").click(no_wait_after=True)
    else:
        page.get_by_label("unsure").check()
        page.get_by_role("button", name="Save", exact=True).click(no_wait_after=True)
    route = nth(page, held, 0)
    page.keyboard.press("2")
    with page.expect_navigation():
        route.continue_()
    assert len(posts) == (1 if by == "form" else 0)
    assert labels(stack, page, two[0]) == (["unsure"] if by == "form" else [])
    assert labels(stack, page, two[1]) == []
    assert watched.complaints == []


def test_a_key_that_is_held_acts_once(stack: Stack, watched: Watched, two: list[str]):
    page = watched.page
    open_film(stack, page, two[0])
    for _ in range(2):
        page.keyboard.down("i")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.up("i")
    width = "document.querySelector('.stage').getBoundingClientRect().width"
    fitted = page.evaluate(width)
    for _ in range(2):
        page.keyboard.down("+")
    assert page.evaluate(width) == pytest.approx(1.25**2 * fitted, rel=1e-3)
    assert watched.complaints == []
