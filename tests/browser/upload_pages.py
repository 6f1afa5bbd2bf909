"""What the tests of the upload queue share: a gate for its requests, and the states that it shows."""

import re
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Stack
from tests.browser.upload_folder import sent_paths

ROWS = "[data-queue] li"
LONG = 180_000  # milliseconds for all files of the folder on a busy machine


def choose(page: Page, stack: Stack, folder: Path, start: bool = True) -> None:
    """Choose a folder, and have it assessed."""
    page.goto(stack.ui.url)
    page.get_by_label("Or a folder").set_input_files(folder)
    expect(page.locator(ROWS).first).to_be_visible()
    if start:
        page.get_by_role("button", name="Assess").click()


class Gate:
    """Lets the first requests of an upload pass, and holds the next ones until it is opened; it can be closed again.

    While it is closed no request is refused, so the page waits for a server as long as its start takes.
    """

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
        expect(self._page.locator("[data-progress-text]")).to_have_text("7 of 40 done", timeout=LONG)

    def open(self) -> None:
        """Let all others pass."""
        self._left = 10_000
        held, self._held = self._held, []
        for route in held:
            route.continue_()

    def close(self, after: int = 0) -> None:
        """Hold the requests from now on, or `after` so many."""
        self._left = after


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders of this machine on the footer of the page."""
    session = page.context.new_cdp_session(page)
    box = page.locator("footer").bounding_box()
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 20, "y": box["y"] + 5, "data": data})


def expect_the_end(page: Page) -> None:
    """Nothing is under way any more."""
    expect(page.locator("[data-announce]")).to_contain_text("The upload has ended", timeout=LONG)


def states(page: Page) -> dict[str, str]:
    """The state of each file, by its path."""
    found = page.locator(ROWS).evaluate_all(
        "rows => rows.map((row) => [row.querySelector('.file').textContent, row.dataset.state])"
    )
    assert len(dict(found)) == len(found), "a file is shown twice"
    return dict(found)


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
