"""The upload queue in a real browser: many files, damaged ones, refusals, errors, cancelling."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST, FINDINGS
from tests.browser.upload_folder import FILMS, sent_paths
from tests.browser.upload_pages import (
    ROWS,
    Gate,
    choose,
    drop,
    expect_the_end,
    expect_the_whole_folder,
    states,
)

pytestmark = pytest.mark.usefixtures("emptied")
FINAL = ("pneumonia", "no pneumonia", "refused", "error", "cancelled", "unsent", "unknown")
LEFT_OUT = {
    "ward/.DS_Store": "hidden",
    "ward/list.txt": "no picture by its name or its first bytes",
    "ward/empty/": "an",
}


def test_a_dropped_folder_is_sent_completely_and_sorted(stack: Stack, watched: Watched, folder: Path, shoot):
    page = watched.page
    most = []
    page.on("request", lambda request: request.method == "POST" and most.append(request))
    page.goto(stack.ui.url)
    drop(page, folder)
    expect(page.locator(ROWS)).to_have_count(len(sent_paths(folder)))
    gate = Gate(page)
    page.get_by_role("button", name="Assess").click()
    gate.wait()
    expect(page.locator(f"{ROWS}[data-state=sending]")).to_have_count(2)
    shoot(page, "upload-during")
    gate.open()
    expect_the_end(page)
    expect_the_whole_folder(page, stack, folder)
    order = [*states(page).values()]
    assert order == sorted(order, key=FINAL.index)
    scores = page.locator(f"{ROWS} .number").all_inner_texts()
    assert len(scores) == FILMS + 3
    assert len(most) == len(order) - 1
    assert all(request.url == f"{stack.ui.url}/predictions" for request in most)
    page.get_by_text("left out: not sent").click()
    for path, reason in LEFT_OUT.items():
        expect(page.locator("[data-left-out] li").filter(has_text=path)).to_contain_text(reason)
    expect(page.locator("[data-left-out] li")).to_have_count(len(LEFT_OUT))
    large = page.locator(ROWS).filter(has_text="large.dcm")
    expect(large).to_contain_text("larger than 25 MB, so it was not sent")
    expect(page.locator("[data-counts] li")).to_have_text(
        ["15 with signs of pneumonia", "12 below threshold", "13 not assessed"]
    )
    shoot(page, "upload-after")
    assert page.evaluate(CONTRAST) == []
    page.reload()
    expect_the_whole_folder(page, stack, folder)
    assert watched.complaints == []


def test_waits_are_bounded_and_end_as_errors_that_can_be_tried_again(
    stack: Stack, watched: Watched, folder: Path, shoot
):
    page = watched.page
    asked: list[Route] = []

    def busy(route: Route) -> None:
        asked.append(route)
        problem = '{"title": "Too many requests", "detail": "Wait a moment.", "status": 429}'
        header = {"Retry-After": "1" if len(asked) % 2 else "Thu, 01 Jan 1970 00:00:00 GMT"}
        route.fulfill(status=429, body=problem, headers=header, content_type="application/problem+json")

    page.route("**/predictions", busy)
    choose(page, stack, folder)
    expect_the_end(page)
    found = states(page)
    assert set(found) == sent_paths(folder)
    assert [found.pop(next(path for path in found if "large" in path))] == ["refused"]
    assert set(found.values()) == {"error"}
    assert len(asked) <= 12  # no file is sent while the server asks to wait, and each only a few times
    first = page.locator(ROWS).first
    expect(first).to_contain_text("Error: no result")
    expect(first).to_contain_text("Too many requests: Wait a moment.")
    expect(page.locator(ROWS).last).to_have_attribute("data-state", "refused")
    assert page.locator("[data-queue]").locator(FINDINGS).count() == 0
    shoot(page, "upload-errors")
    page.unroute("**/predictions")
    page.get_by_role("button", name="Try all failed again").click()
    expect_the_end(page)
    expect_the_whole_folder(page, stack, folder)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, "{}"),
        (201, '{"predictions": [{"id": "x"}]}'),
        (201, '{"predictions": [{"id": "%s", "finding": "none", "refusal": null, "probability": 0.1}]}' % ("0" * 32)),
        (200, "<h1>Log in</h1>"),
        (503, '{"title": "The service is not available", "detail": "A clock is wrong.", "status": 503}'),
        (507, '{"title": "The store is full", "detail": "Erase results.", "status": 507}'),
    ],
)
def test_what_is_no_result_is_an_error(stack: Stack, watched: Watched, folder: Path, status: int, body: str):
    page = watched.page
    page.route("**/predictions", lambda route: route.fulfill(status=status, body=body))
    page.goto(stack.ui.url)
    page.get_by_label("Chest X-rays").set_input_files(folder / "film 00.png")
    page.get_by_role("button", name="Assess").click()
    row = page.locator(ROWS)
    expect(row).to_have_attribute("data-state", "error")
    expect(page.get_by_role("button", name="Try again film 00.png")).to_be_visible()
    page.reload()
    expect(row).to_have_attribute("data-state", "error")
    expect(row).to_contain_text("To send it, choose it again.")


def test_one_or_all_are_cancelled_and_removed(stack: Stack, watched: Watched, folder: Path):
    page = watched.page
    held: list[Route] = []
    page.route("**/predictions", lambda route: held.append(route))
    choose(page, stack, folder)
    expect(page.locator(f"{ROWS}[data-state=sending]")).to_have_count(2)
    first = page.locator(ROWS).first
    first.get_by_role("button", name="Cancel").click()
    expect(first).to_have_attribute("data-state", "cancelled")
    expect(page.locator(f"{ROWS}[data-state=sending]")).to_have_count(2)
    page.get_by_role("button", name="Cancel all").click()
    expect_the_end(page)
    expect(page.get_by_role("heading", name="This upload")).to_be_focused()  # the button is gone
    found = states(page)
    assert set(found) == sent_paths(folder)
    assert set(found.values()) == {"cancelled", "refused"}
    page.get_by_role("button", name="Remove large.dcm").click()
    expect(page.locator(ROWS)).to_have_count(len(found) - 1)
    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator("[data-queue-box]")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_folder_of_more_than_100_files_is_read_completely(stack: Stack, watched: Watched, tmp_path: Path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(230):
        (many / f"{number}.txt").write_text("x")
    page = watched.page
    page.goto(stack.ui.url)
    drop(page, many, tmp_path / "many" / "7.txt")
    expect(page.locator("[data-left-out] summary")).to_have_text("231 left out: not sent")
    page.get_by_role("button", name="Assess").click()
    expect(page.get_by_text("Select one or more pictures first.")).to_be_visible()
    assert watched.complaints == []


def test_a_file_that_was_moved_is_an_error(stack: Stack, watched: Watched, tmp_path: Path):
    film = tmp_path / "film.png"
    film.write_bytes(phantom.png(1, 192))
    page = watched.page
    page.goto(stack.ui.url)
    drop(page, film)
    expect(page.locator(ROWS)).to_have_count(1)
    film.unlink()
    page.get_by_role("button", name="Assess").click()
    expect(page.locator(ROWS)).to_contain_text("The file cannot be read.")
    expect(page.locator(ROWS)).to_have_attribute("data-state", "error")


def test_the_same_file_is_not_listed_twice(stack: Stack, watched: Watched, folder: Path):
    page = watched.page
    page.goto(stack.ui.url)
    for _ in range(2):
        page.get_by_label("Chest X-rays").set_input_files(folder / "film 00.png")
    expect(page.locator("[data-left-out] li")).to_have_text(
        "film 00.png: a file of this name, size and time is already in the list"
    )
    expect(page.locator(ROWS)).to_have_count(1)


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (1200, "dark")])
def test_the_queue_fits_the_screen_and_is_readable(
    stack: Stack, browser: Browser, folder: Path, shoot, width: int, scheme: str
):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    choose(page, stack, folder)
    expect_the_end(page)
    page.get_by_text("left out: not sent").click()
    page.reload()
    page.route("**/predictions", lambda route: route.fulfill(status=500, body="{}"))
    page.get_by_label("Chest X-rays").set_input_files([folder / "damaged 1.png", folder / "a" / "copy.png"])
    page.get_by_role("button", name="Assess").click()
    expect_the_end(page)
    shoot(page, f"upload-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(CONTRAST) == []
    unnamed = "nodes => nodes.filter((node) => !node.textContent.trim() && !node.getAttribute('aria-label')).length"
    assert page.locator("[data-queue-box]").locator("button, a, progress").evaluate_all(unnamed) == 0
    context.close()
