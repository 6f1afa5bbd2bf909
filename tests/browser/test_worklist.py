"""The list and the way through it in a real browser: without scripts, on a desk, on a phone and at 320 px."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST, assess, show_together

LONG = "Thorax PA lying, second exposure after repositioning, left lateral 0000123456789.png"
NAMES = ("ward 1 a.png", "ward 2 b.png", "IM000001", LONG)


@pytest.fixture(scope="module")
def uploaded(stack: Stack, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Four results and a refusal; the second one was reviewed against the model."""
    folder = tmp_path_factory.mktemp("films")
    files = [folder / name for name in (*NAMES, "notes.png")]
    for number, file in enumerate(files[:-1]):
        file.write_bytes(phantom.png(200 + number, 512, opacity=number % 2 == 0))
    files[-1].write_bytes(b"%PDF-1.7")
    page = browser.new_page()
    assess(page, stack, files)
    show_together(page)
    page.get_by_role("link", name="ward 2 b.png").last.click()
    page.get_by_label("pneumonia", exact=True).check()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile("#saved$"))
    page.close()


def test_search_filter_and_the_next_result_without_scripts(stack: Stack, scriptless, uploaded, shoot):
    page: Page = scriptless.new_page()
    page.goto(f"{stack.ui.url}/predictions")
    expect(page.locator(".count")).to_have_text("5 results")
    expect(page.locator("tr.new .review.unread")).to_have_count(4)
    page.get_by_label("File name").fill("WARD")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".count")).to_have_text("2 results with these filters")
    expect(page.locator("tbody a.file")).to_have_text(["ward 2 b.png", "ward 1 a.png"])
    page.get_by_label("Order").select_option("most suspicious first")
    page.get_by_role("button", name="Apply").click()
    shoot(page, "worklist-search")
    page.get_by_role("link", name="ward 1 a.png").click()
    expect(page.locator(".where")).to_have_text("1 of 2")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("ward 2 b.png")
    expect(page.locator(".where")).to_have_text("2 of 2")
    shoot(page, "worklist-place")
    page.get_by_role("link", name="List").click()
    expect(page.get_by_label("File name")).to_have_value("WARD")
    page.get_by_role("link", name="Clear").click()
    page.get_by_label("Review").select_option("contradicts the model")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody a.file")).to_have_text(["ward 2 b.png"])


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark"), (320, "light")])
def test_the_list_fits_and_is_dense_on_a_desk(stack: Stack, browser: Browser, uploaded, shoot, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    for name, path in (("list", "/predictions"), ("found", "/predictions?q=thorax&review=unread&order=probability")):
        page.goto(stack.ui.url + path)
        shoot(page, f"worklist-{name}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        heights = page.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
        assert heights and (width < 1400 or max(heights) <= 46)
    address = page.locator("tbody a.file").first.get_attribute("href").partition("?")[0]
    for name, path, word in (("place", "", "thorax"), ("long", "", "x" * 120), ("erase", "/erase", "x" * 120)):
        page.goto(f"{stack.ui.url}{address}{path}?q={word}&review=unread&order=probability")
        shoot(page, f"worklist-{name}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
    context.close()


def test_a_small_picture_that_does_not_load_says_so_without_scripts(stack: Stack, scriptless, uploaded, shoot):
    page: Page = scriptless.new_page()
    page.route("**/thumbnail.png", lambda route: route.abort())
    page.goto(f"{stack.ui.url}/predictions?q=ward")
    shoot(page, "worklist-no-thumbnails")
    expect(page.get_by_alt_text("not loaded")).to_have_count(2)


def test_a_small_picture_that_fails_before_the_script_runs_says_so(stack: Stack, watched: Watched, uploaded):
    failed: list[str] = []

    def fail(route) -> None:
        failed.append(route.request.url)
        route.abort()

    def later(route) -> None:
        while len(failed) < 2:
            watched.page.wait_for_timeout(10)
        route.continue_()

    watched.page.route("**/thumbnail.png", fail)
    watched.page.route("**/page.js*", later)
    watched.page.goto(f"{stack.ui.url}/predictions?q=ward")
    expect(watched.page.locator("span.thumbnail.failed")).to_have_text(["not loaded", "not loaded"])


def test_a_small_picture_that_does_not_load_says_so(stack: Stack, watched: Watched, uploaded):
    watched.page.route("**/thumbnail.png", lambda route: route.abort())
    watched.page.goto(f"{stack.ui.url}/predictions?q=ward")
    expect(watched.page.locator("span.thumbnail.failed")).to_have_text(["not loaded", "not loaded"])
