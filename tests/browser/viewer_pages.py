"""What the tests of the viewer and of its keys share: results of drawings, and the page of one."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from model import phantom
from tests.browser.conftest import Stack
from tests.browser.test_pages import assess, show_together


def upload(stack: Stack, browser: Browser, folder: Path, sizes: list[tuple[int, int]], prefix: str) -> list[str]:
    """Drawings of these sizes, assessed in one upload; the paths of their pages, in the order of the upload."""
    files = [folder / f"{prefix} {number:02}.png" for number in range(len(sizes))]
    for number, (file, size) in enumerate(zip(files, sizes, strict=True)):
        drawing = phantom.draw(300 + 40 * len(prefix) + number, max(size), opacity=number % 2 == 0)
        drawing.resize(size).save(file)
    page = browser.new_page()
    assess(page, stack, files)
    show_together(page)
    links = page.locator("article a.file")
    expect(links).to_have_count(len(files))
    paths = {link.inner_text(): str(link.get_attribute("href")) for link in links.all()}
    page.close()
    return [paths[file.name] for file in files]


def wait_for_film(page: Page) -> None:
    """Until the film can be adjusted."""
    expect(page.get_by_role("button", name="Invert")).to_be_enabled()


def pixel(page: Page, canvas: str, x: int, y: int) -> list[int]:
    """Red, green, blue and opacity of one pixel of a canvas."""
    read = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]"
    return page.locator(canvas).evaluate(read, [x, y])
