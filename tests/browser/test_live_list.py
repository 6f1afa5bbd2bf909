"""The list searches while the reader types, and keeps itself up to date, in a real browser."""

import pytest
import urllib3
from playwright.sync_api import Page, Route, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.webapp.api.records import opened
from tests.webapp.servers import TOKEN

pytestmark = pytest.mark.usefixtures("emptied")
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def send(stack: Stack, *names: str) -> list[str]:
    """Have another reader send drawings; the ids of their results."""
    ids = []
    for name in names:
        content = phantom.png(400 + sum(name.encode()), 192, opacity=True)
        answer = urllib3.request(
            "POST", f"{stack.api.url}/v1/predictions", fields={"file": (name, content)}, headers=HEADERS
        )
        assert answer.status == 201
        ids.append(answer.json()["predictions"][0]["id"])
    return ids


def review(stack: Stack, identifier: str) -> None:
    """Have another reader review a result."""
    path = f"{stack.api.url}/v1/predictions/{identifier}/feedback"
    assert urllib3.request("POST", path, json={"label": "unsure"}, headers=HEADERS).status == 201


def erase(stack: Stack, identifier: str) -> None:
    """Have another reader erase a result."""
    assert urllib3.request("DELETE", f"{stack.api.url}/v1/predictions/{identifier}", headers=HEADERS).status == 204


@pytest.fixture
def page(stack: Stack, watched: Watched) -> Page:
    """The list of three results, of which the page asks for changes every fifth of a second."""
    send(stack, "ward 1.png", "ward 2.png", "other.png")
    watched.page.add_init_script(
        "const every = window.setInterval.bind(window); window.setInterval = (run, ms) => every(run, ms / 25);"
    )
    watched.page.goto(f"{stack.ui.url}/predictions")
    return watched.page


def names(page: Page):
    """The file names of the list."""
    return page.locator("tbody a.file")


def test_the_list_searches_while_the_reader_types(stack: Stack, page: Page, watched: Watched):
    field = page.get_by_label("File name")
    field.press_sequentially("ward", delay=30)
    expect(names(page)).to_have_text(["ward 2.png", "ward 1.png"])
    expect(page.locator(".count")).to_have_text("2 results with these filters")
    expect(field).to_be_focused()
    page.wait_for_url("**/predictions?q=ward")
    page.get_by_label("Order").select_option("most suspicious first")
    page.wait_for_url("**/predictions?q=ward&order=probability")
    page.reload()
    expect(names(page)).to_have_count(2)
    page.get_by_role("link", name="Clear").click()
    expect(names(page)).to_have_count(3)
    assert watched.complaints == []


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(page: Page):
    held: list[Route] = []
    page.route("**/predictions?q=w", lambda route: held.append(route))
    page.get_by_label("File name").fill("w")
    while not held:
        page.wait_for_timeout(20)
    page.get_by_label("File name").fill("other")
    expect(names(page)).to_have_text(["other.png"])
    held[0].abort()
    page.wait_for_timeout(300)
    expect(names(page)).to_have_text(["other.png"])


def test_a_search_that_fails_shows_an_error_in_place_of_the_rows(stack: Stack, page: Page, shoot):
    page.route("**/predictions?q=ward", lambda route: route.abort())
    page.get_by_label("File name").fill("ward")
    expect(page.get_by_role("alert")).to_contain_text("Error: the list could not be searched")
    expect(names(page)).to_have_count(0)
    expect(page.locator(".count")).to_have_text("")
    shoot(page, "live-search-failed")
    page.unroute("**/predictions?q=ward")
    page.get_by_role("link", name="Try again").click()
    expect(names(page)).to_have_count(2)
    page.get_by_label("File name").fill("a b c d e f g h i")
    expect(page.get_by_role("alert")).to_contain_text("at most 8 words")
    page.get_by_label("File name").fill("other")
    expect(names(page)).to_have_text(["other.png"])


def test_what_is_new_is_offered_and_no_row_moves(stack: Stack, page: Page, watched: Watched, shoot):
    row = page.locator("tr", has_text="ward 2.png")
    row.locator("a.file").focus()
    place = row.bounding_box()
    send(stack, "new 1.png", "new 2.png")
    news = page.locator("[data-news]")
    expect(news).to_contain_text("2 new results in this list.")
    expect(page.locator(".count")).to_have_text("5 results")
    assert row.bounding_box() == place
    expect(names(page)).to_have_count(3)
    expect(row.locator("a.file")).to_be_focused()
    shoot(page, "live-news")
    news.get_by_role("button", name="Show").click()
    expect(names(page)).to_have_text(["new 2.png", "new 1.png", "other.png", "ward 2.png", "ward 1.png"])
    expect(names(page).first).to_be_focused()
    expect(news).to_be_hidden()
    assert watched.complaints == []


def test_a_review_and_an_erasure_are_shown_where_the_row_is(stack: Stack, page: Page):
    first, second = (page.locator("tr", has_text=name).get_attribute("data-id") for name in ("ward 1.png", "other.png"))
    page.locator("tr", has_text="ward 1.png").locator("a.file").focus()
    review(stack, first)
    expect(page.locator("tr", has_text="ward 1.png").locator(".review")).to_contain_text("unsure")
    expect(page.locator("tr.new")).to_have_count(2)
    expect(page.locator("tr", has_text="ward 1.png").locator("a.file")).to_be_focused()
    erase(stack, second)
    expect(page.locator("tr.gone")).to_contain_text("no longer in this list: other.png")
    expect(page.locator("[data-news]")).to_contain_text("1 result is no longer in this part of the list.")
    page.get_by_role("button", name="Show").click()
    expect(names(page)).to_have_text(["ward 2.png", "ward 1.png"])


def test_a_server_that_does_not_answer_is_told_after_a_while_and_no_longer(stack: Stack, page: Page, shoot):
    page.route("**/predictions/changes", lambda route: route.abort())
    expect(page.locator("[data-news]")).to_contain_text("This list may be out of date")
    expect(names(page)).to_have_count(3)
    shoot(page, "live-out-of-date")
    page.unroute("**/predictions/changes")
    expect(page.locator("[data-news]")).to_be_hidden()


def test_a_filtered_list_is_told_only_of_what_belongs_to_it(stack: Stack, page: Page):
    page.get_by_label("File name").fill("ward")
    expect(names(page)).to_have_count(2)
    send(stack, "another.png", "ward 3.png")
    expect(page.locator("[data-news]")).to_contain_text("1 new result in this list.")


def test_a_picture_of_a_new_row_that_does_not_load_says_so(stack: Stack, page: Page):
    page.route("**/thumbnail.png", lambda route: route.abort())
    send(stack, "new 1.png")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tr", has_text="new 1.png").locator(".thumbnail.failed")).to_have_text("not loaded")


def test_a_film_sent_by_dicom_that_fails_is_told_to_an_open_list(stack: Stack, page: Page):
    row = page.locator("tr", has_text="ward 2.png")
    place = row.bounding_box()
    queue = opened(stack.redis).queue
    identifier = queue.put(b"x", "CR-A.dcm")
    queue.fail(queue.claim(60, 0.01), "internal", "It broke.")
    try:
        expect(page.locator("[data-news]")).to_contain_text("Films that were sent by DICOM have no result.")
        assert row.bounding_box() == place
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("1 film that was sent by DICOM has no result.")
        expect(page.locator("[data-news]")).to_be_hidden()
    finally:
        queue.discard(identifier)


def test_a_search_that_was_left_does_not_keep_the_list_from_following(stack: Stack, page: Page):
    page.route("**/predictions?q=w", lambda route: None)  # it is never answered
    page.get_by_label("File name").fill("w")
    expect(page.locator("form.filters.busy")).to_have_count(1)
    # As the browser's cache of pages does when the reader goes on and comes back.
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    expect(page.locator("form.filters.busy")).to_have_count(0)
    page.get_by_label("File name").evaluate("field => { field.value = ''; }")
    send(stack, "new 1.png")
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(names(page)).to_have_count(4)
