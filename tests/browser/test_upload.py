"""The upload queue in a real browser: many files, damaged ones, a store that goes away, a reload, cancelling."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST, FINDINGS

ROWS = "[data-queue] li"
FINAL = ("pneumonia", "no pneumonia", "refused", "error", "cancelled", "unsent", "unknown")
FILMS = 24
LEFT_OUT = {
    "ward/.DS_Store": "hidden",
    "ward/list.txt": "no picture by its name or its first bytes",
    "ward/empty/": "an",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nested folders: films, one under two names, one of the same name elsewhere, damaged and large files, no films."""
    ward = tmp_path_factory.mktemp("upload") / "ward"
    (ward / "a" / "deep").mkdir(parents=True)
    (ward / "empty").mkdir()
    for number in range(FILMS):
        below = ward / ("a", "a/deep")[number % 2]
        (below / f"film {number:02}.png").write_bytes(phantom.png(300 + number, 192, opacity=number % 2 == 0))
    whole = (ward / "a" / "film 00.png").read_bytes()
    (ward / "a" / "copy.png").write_bytes(whole)
    (ward / "film 00.png").write_bytes(whole)
    for number in range(10):
        (ward / f"damaged {number}.png").write_bytes(whole[: 1000 + 100 * number])
    (ward / "text.png").write_text("no picture")
    (ward / "nothing.png").write_bytes(b"")
    (ward / "large.dcm").write_bytes(b"x" * 26 * 1024 * 1024)
    (ward / "no suffix").write_bytes(phantom.png(350, 192, opacity=True))
    for name in (".DS_Store", "list.txt"):
        (ward / name).write_bytes(b"x")
    return ward


@pytest.fixture(autouse=True)
def emptied(stack: Stack) -> Iterator[None]:
    """No result of another test."""
    yield
    stack.redis.client().flushall()


def choose(page: Page, stack: Stack, folder: Path, start: bool = True) -> None:
    """Choose a folder, and have it assessed."""
    page.goto(stack.ui.url)
    page.get_by_label("Or a folder").set_input_files(folder)
    expect(page.locator(ROWS).first).to_be_visible()
    if start:
        page.get_by_role("button", name="Assess").click()


class Gate:
    """Lets the first requests of an upload pass, and holds the next ones until it is opened."""

    def __init__(self, page: Page) -> None:
        self._page, self._left, self._held = page, 6, list[Route]()
        page.route("**/predictions", self._handle)

    def _handle(self, route: Route) -> None:
        if self._left:
            self._left -= 1
            route.continue_()
        else:
            self._held.append(route)

    def wait(self) -> None:
        """Until those have been answered; the file that is too large is done, too."""
        expect(self._page.locator("[data-progress-text]")).to_have_text("7 of 40 done", timeout=30_000)

    def open(self) -> None:
        """Let all others pass."""
        self._left = 1000
        for route in self._held:
            route.continue_()


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders of this machine on the footer of the page."""
    session = page.context.new_cdp_session(page)
    box = page.locator("footer").bounding_box()
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 20, "y": box["y"] + 5, "data": data})


def expect_the_end(page: Page) -> None:
    """Nothing is under way any more."""
    expect(page.locator("[data-announce]")).to_contain_text("The upload has ended", timeout=60_000)


def states(page: Page) -> dict[str, str]:
    """The state of each file, by its path."""
    found = page.locator(ROWS).evaluate_all(
        "rows => rows.map((row) => [row.querySelector('.file').textContent, row.dataset.state])"
    )
    assert len(dict(found)) == len(found), "a file is shown twice"
    return dict(found)


def sent_paths(folder: Path) -> set[str]:
    """The paths of the files that are pictures by name or content, as the page shows them."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name not in (".DS_Store", "list.txt"))
    return {str(file.relative_to(folder.parent)) for file in files}


def stored_names(stack: Stack, page: Page) -> list[str]:
    """The file names of all stored results."""
    headers = {"Accept": "application/json"}
    document = page.request.get(f"{stack.ui.url}/predictions", headers=headers).json()
    assert document["next"] is None
    return sorted(each["file"] for each in document["predictions"])


def expect_the_whole_folder(page: Page, stack: Stack, folder: Path) -> None:
    """Every file has its own right state; each is stored once; nothing is silently left out."""
    found = states(page)
    assert set(found) == sent_paths(folder)
    for path, state in found.items():
        name = path.rpartition("/")[2]
        number = re.search(r"film (\d+)", name)
        if number or name in ("copy.png", "no suffix"):
            wanted = "no pneumonia" if number and int(number[1]) % 2 else "pneumonia"
        else:
            wanted = "refused"
        assert state == wanted, path
    links = page.locator(f"{ROWS} a.file").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert len(links) == len(found) - 1  # all but the one that is too large
    assert len(set(links)) == len(links) - 1  # the same file of the same name in two folders is one result
    same = page.locator(ROWS).filter(has_text="The same file and result as")
    expect(same).to_have_count(1)
    expect(same).to_contain_text(
        re.compile("ward/a/film 00.png.*ward/film 00.png|ward/film 00.png.*ward/a/film 00.png")
    )
    stored = stored_names(stack, page)
    assert stored == sorted({path.rpartition("/")[2] for path in found} - {"large.dcm"})


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


def test_a_store_that_goes_away_and_comes_back_loses_and_doubles_nothing(stack: Stack, watched: Watched, folder: Path):
    page = watched.page
    gate = Gate(page)
    choose(page, stack, folder)
    gate.wait()
    stack.redis.kill()
    gate.open()
    try:
        expect(page.locator(ROWS).filter(has_text="Tries again in").first).to_be_visible()
        expect(page.locator("[data-announce]")).to_contain_text("goes on by itself")
    finally:
        stack.redis.start()
    expect_the_end(page)
    expect_the_whole_folder(page, stack, folder)


@pytest.mark.parametrize("server", ["ui", "api"])
def test_a_server_that_goes_away_is_waited_for(stack: Stack, watched: Watched, folder: Path, server: str):
    page, stopped = watched.page, getattr(stack, server)
    gate = Gate(page)
    choose(page, stack, folder)
    gate.wait()
    stopped.stop()
    gate.open()
    try:
        expect(page.locator(ROWS).filter(has_text="Tries again in").first).to_be_visible()
    finally:
        stopped.start()
    expect_the_end(page)
    expect_the_whole_folder(page, stack, folder)


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


def reload_while_sending(page: Page, stack: Stack, folder: Path, arrives: bool) -> None:
    """Reload after two files were sent, whose answers never come; the server has the files only if they `arrive`."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if arrives:
            route.fetch()
        held.append(route)

    page.on("dialog", lambda dialog: dialog.accept())
    page.route("**/predictions", hold)
    choose(page, stack, folder)
    expect(page.locator(f"{ROWS}[data-state=sending]")).to_have_count(2)
    page.wait_for_function("() => JSON.parse(sessionStorage.upload).entries.filter((each) => each.posted).length === 2")
    while len(held) < 2:
        page.wait_for_timeout(20)  # handles events
    page.reload()
    page.unroute("**/predictions")


def test_a_reload_loses_no_file_and_finds_the_lost_answers(stack: Stack, watched: Watched, folder: Path, shoot):
    page = watched.page
    reload_while_sending(page, stack, folder, arrives=True)
    expect(page.locator(f"{ROWS} a.file")).to_have_count(2)
    found = states(page)
    assert set(found) == sent_paths(folder)
    assert sorted(set(found.values()) & {"sending", "waiting", "queued", "selected", "unknown"}) == []
    assert [*found.values()].count("unsent") == len(found) - 3
    expect(page.locator("[data-progress-text]")).to_have_text("3 of 40 done, 37 without a result")
    unsent = page.locator(f"{ROWS}[data-state=unsent]").first
    expect(unsent).to_contain_text("Not sent: choose it again")
    shoot(page, "upload-reloaded")
    page.get_by_label("Or a folder").set_input_files(folder)
    expect(page.locator(f"{ROWS}[data-state=selected]")).to_have_count(len(found) - 3)
    page.get_by_role("button", name="Assess").click()
    expect_the_end(page)
    expect_the_whole_folder(page, stack, folder)


def test_a_lost_answer_without_a_result_is_said_to_be_unknown(stack: Stack, watched: Watched, folder: Path):
    page = watched.page
    page.clock.install()
    reload_while_sending(page, stack, folder, arrives=False)
    unknown = page.locator(f"{ROWS}[data-state=unknown]")
    expect(unknown).to_have_count(2)
    for _ in range(3):
        page.clock.run_for(11_000)
        expect(unknown.first).to_contain_text(re.compile("No result of it was found|is being looked for"))
    expect(unknown.first).to_contain_text("No result of it was found.")
    expect(unknown.first).to_contain_text("To send it, choose it again.")
    expect(page.locator("[data-queue]").locator(FINDINGS)).to_have_count(0)
    expect(unknown.first.get_by_role("button", name="Look again")).to_be_visible()


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


def test_leaving_is_asked_only_while_something_is_under_way(stack: Stack, watched: Watched, folder: Path):
    page = watched.page
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    choose(page, stack, folder, start=False)
    page.reload()
    assert asked == []
    held: list[Route] = []
    page.route("**/predictions", lambda route: held.append(route))
    choose(page, stack, folder)
    expect(page.locator(f"{ROWS}[data-state=sending]")).to_have_count(2)
    page.reload()
    assert asked == ["beforeunload"]


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


def test_retry_after_is_a_number_or_a_date(stack: Stack, watched: Watched):
    watched.page.goto(stack.ui.url)
    now = 1_700_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
    headers = ["7", "0", "Tue, 14 Nov 2023 22:13:50 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", None]
    script = """async ([headers, now]) => {
        const { secondsToWait } = await import("/static/upload/queue.js");
        return headers.map((header) => secondsToWait(header, now));
    }"""
    assert watched.page.evaluate(script, [headers, now]) == [7, 1, 30, 1, 5, 5]


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
