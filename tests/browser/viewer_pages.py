"""What the tests of the viewer and of its keys share: results of drawings, and the page of one."""

import time
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect

from model import phantom
from tests.browser.conftest import Stack
from tests.browser.test_pages import assess
from tests.webapp.servers import TOKEN

_SECONDS = 30


def upload(stack: Stack, browser: Browser, folder: Path, sizes: list[tuple[int, int]], prefix: str) -> list[str]:
    """Drawings of these sizes, assessed in one upload; the paths of their pages, in the order of the upload."""
    files = [folder / f"{prefix} {number:02}.png" for number in range(len(sizes))]
    for number, (file, size) in enumerate(zip(files, sizes, strict=True)):
        drawing = phantom.draw(300 + 40 * len(prefix) + number, max(size), opacity=number % 2 == 0)
        drawing.resize(size).save(file)
    page = browser.new_page(java_script_enabled=False)  # with scripts, files are sent in no order
    assess(page, stack, files)
    page.wait_for_url("**/results?*")
    links = page.locator("article a.file")
    expect(links).to_have_count(len(files))
    paths = {link.inner_text(): str(link.get_attribute("href")) for link in links.all()}
    page.close()
    return [paths[file.name] for file in files]


def open_film(stack: Stack, page: Page, path: str) -> None:
    """Open the page of a result and wait until its film can be adjusted and the keys work."""
    page.goto(stack.ui.url + path)
    ready(page)
    wait_for_film(page)


def send_half(stack: Stack, page: Page, path: str, picture: str) -> None:
    """Answer requests for this picture of a result with the first half of its bytes."""
    whole = page.request.get(f"{stack.ui.url}{path}/{picture}").body()
    half = whole[: len(whole) // 2]
    page.route(f"**/{picture}", lambda route: route.fulfill(content_type="image/png", body=half))


def wait_for_film(page: Page) -> None:
    """Until the film can be adjusted."""
    expect(page.get_by_role("button", name="Invert")).to_be_enabled()


def pixel(page: Page, canvas: str, x: int, y: int) -> list[int]:
    """Red, green, blue and opacity of one pixel of a canvas."""
    read = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]"
    return page.locator(canvas).evaluate(read, [x, y])


def nth(page: Page, held: list[Route], number: int) -> Route:
    """The held request of this number, once the browser has sent it."""
    end = time.monotonic() + _SECONDS
    while len(held) <= number:
        assert time.monotonic() < end, "the browser did not send the request"
        page.wait_for_timeout(10)  # events arrive while Playwright waits
    return held[number]


def labels(stack: Stack, page: Page, path: str) -> list[str]:
    """The reviews of a result, as stored, oldest first."""
    address = f"{stack.api.url}/v1{path.partition('?')[0]}/feedback"
    answer = page.request.get(address, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.ok
    return [entry["label"] for entry in answer.json()["feedback"]]


def ready(page: Page) -> None:
    """Until the keys work."""
    expect(page.locator("[data-keys]")).to_be_enabled()


def said(page: Page, words: str) -> None:
    """Until the page has said this."""
    expect(page.locator("[data-said]")).to_have_text(words)
