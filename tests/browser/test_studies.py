"""Folders, studies and files seen before in a real browser: in the upload, on the list and on the page of a result."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST
from tests.browser.upload_pages import ROWS, choose, expect_the_end
from tests.webapp.dicom_films import dicom_film

pytestmark = pytest.mark.usefixtures("emptied")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders with files of the same names: two films of one study, another film, and a copy of the first."""
    folder = tmp_path_factory.mktemp("films") / "ward"
    films = {
        "Bed 1/IM000001": dicom_film(seed=300),
        "Bed 1/IM000002": dicom_film(seed=301),
        "Bed 2 by the window, moved from the corridor/IM000001": phantom.png(302, 512, opacity=True),
        "copies/IM000009": dicom_film(seed=300),
    }
    for name, content in films.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def test_films_of_the_same_name_are_told_apart_and_a_copy_says_so(stack: Stack, watched: Watched, ward: Path, shoot):
    page = watched.page
    choose(page, stack, ward)
    expect_the_end(page)
    copies = page.locator(ROWS).filter(has_text="Seen before: the same file is stored as")
    expect(copies).to_have_count(1)
    first = page.locator(ROWS).filter(has_text="IM000001").first
    expect(first).to_be_visible()
    shoot(page, "study-upload")
    page.reload()
    expect(copies).to_have_count(1)
    page.goto(f"{stack.ui.url}/predictions")
    expect(page.locator("tr.joined")).not_to_have_count(0)
    folders = page.locator(".origin .folder").all_inner_texts()
    assert sorted(folders) == sorted(f"ward/{each.parent.name}" for each in ward.rglob("IM*"))
    shoot(page, "study-list")
    page.locator("tr", has_text="IM000002").locator(".study").click()
    expect(page.locator(".count")).to_have_text("3 results with these filters")
    page.locator("tr", has_text="IM000002").locator("a.file").click()
    expect(page.locator(".origin-folder")).to_have_text("Folder ward/Bed 1")
    expect(page.locator(".study-films li a.file")).to_have_count(2)
    shoot(page, "study-film")
    page.locator(".study-films a.file", has_text="IM000009").click()
    expect(page.locator(".same-file")).to_contain_text("The same file is also stored as IM000001 in ward/Bed 1")
    assert watched.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark"), (320, "light")])
def test_the_pages_fit_and_rows_stay_dense(stack: Stack, browser: Browser, ward: Path, shoot, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    choose(page, stack, ward)
    expect_the_end(page)
    shots = {
        "upload": None,
        "list": "/predictions",
        "film": page.locator("a.file", has_text="IM000009").get_attribute("href"),
    }
    for name, path in shots.items():
        if path:
            page.goto(stack.ui.url + path)
        shoot(page, f"study-{name}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        if name == "film":
            page.get_by_role("link", name="Erase this study").click()
            shoot(page, f"study-erase-{width}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(CONTRAST) == []
        if name == "list" and width == 1400:
            heights = page.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
            assert max(heights) <= 46
    context.close()


def test_the_folder_comes_without_scripts_from_the_stored_result(
    stack: Stack, scriptless, watched: Watched, ward: Path
):
    choose(watched.page, stack, ward)
    expect_the_end(watched.page)
    page = scriptless.new_page()
    page.goto(f"{stack.ui.url}/predictions")
    page.get_by_role("link", name="IM000009").click()
    expect(page.locator(".origin-folder")).to_have_text("Folder ward/copies")
    page.get_by_role("link", name="Films of this study").click()
    expect(page.locator(".count")).to_have_text("3 results with these filters")
    page.get_by_label("Study").select_option("any study")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".count")).to_have_text("4 results")
