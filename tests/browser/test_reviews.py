"""Reviews in a real browser: a word confirms each, with the focus and the film in view, also without scripts."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from model import phantom
from tests.browser.conftest import Stack
from tests.browser.test_pages import CONTRAST, assess, show_together


@pytest.fixture(scope="module")
def result(stack: Stack, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a result."""
    film: Path = tmp_path_factory.mktemp("films") / "film.png"
    film.write_bytes(phantom.png(300, 512, opacity=True))
    page = browser.new_page()
    assess(page, stack, [film])
    show_together(page)
    page.get_by_role("link", name="film.png").last.click()
    page.wait_for_url("**/predictions/*")
    address = page.url
    page.close()
    return address


def save(page: Page, label: str, comment: str = "") -> None:
    """Save a review as a person does."""
    page.get_by_label(label, exact=True).check()
    page.get_by_label("Comment").fill(comment)
    page.get_by_role("button", name="Save").click()


def confirmed(page: Page, words: str) -> None:
    """The word of confirmation has the focus, and the film is in view beside it."""
    word = page.get_by_role("status").filter(has_text=words)
    expect(word).to_be_focused()
    expect(word).to_be_in_viewport()
    expect(page.get_by_alt_text("The picture that was sent")).to_be_in_viewport()


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (390, 844), (320, 640)])
def test_a_review_is_confirmed_beside_the_film_and_withdrawn_without_scripts(stack, scriptless, result, width, height):
    page = scriptless.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.goto(result)
    save(page, "no pneumonia", "nothing to see")
    confirmed(page, "Saved: no pneumonia.")
    expect(page.locator(".reviews-against")).to_have_count(1)
    page.get_by_role("button", name="Withdraw").first.click()
    confirmed(page, "Withdrawn: no pneumonia.")
    expect(page.locator(".reviews-against")).to_have_count(0)
    page.close()


def test_a_double_click_saves_one_review(watched, result):
    page = watched.page
    page.goto(result)
    before = page.locator(".reviews-list li").count()
    page.get_by_label("unsure").check()
    page.get_by_role("button", name="Save").dblclick()
    confirmed(page, "Saved: unsure.")
    page.reload()
    expect(page.locator(".reviews-list li")).to_have_count(before + 1)
    assert watched.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (320, "light"), (390, "dark")])
def test_the_reviews_fit_and_can_be_read(browser, result, shoot, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(result)
    save(page, "unsure", f"at {width} in {scheme}")
    save(page, "no pneumonia", "a-word-that-does-not-end-" * 6)
    shoot(page, f"reviews-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(CONTRAST) == []
    context.close()
