"""200 mixed files in three folders while the store is killed twice: each ends in one state, beside its own result."""

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.browser.upload_pages import LONG, ROWS, Gate, choose, expect_the_end, states
from tests.webapp.api.received.films import film

FOLDERS, FILES = ("ward a", "ward b", "ward c"), 200
KILLED_AT = (40, 120)  # files that are done


def content_of(number: int) -> tuple[str, bytes]:
    """The ending and the content of a file: films as PNG and DICOM, damaged and empty files, and no pictures."""
    picture = phantom.png(1000 + number, 128, opacity=number % 2 == 0)
    match number % 10:
        case 6 | 7:
            return ".dcm", film(number, seed=1000 + number)
        case 8:
            return ".png", picture[: 200 + number]
        case 9:
            return (".png", b"no picture") if number % 20 == 9 else (".dcm", film(number)[: 400 + number])
        case _:
            return ".png", picture


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; the same names are in all three folders, and some of the files are the same, too."""
    top = tmp_path_factory.mktemp("mixed") / "top"
    for number in range(FILES):
        folder = top / FOLDERS[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        ending, content = content_of(number if number % 40 else 0)
        (folder / f"film {number // 3:03}{ending}").write_bytes(content)
    (top / FOLDERS[1] / "film 000.png").write_bytes((top / FOLDERS[0] / "film 000.png").read_bytes())
    return top


def until_done(page: Page, number: int) -> None:
    """Until so many files are done."""
    page.wait_for_function(
        "number => parseInt(document.querySelector('[data-progress-text]').textContent, 10) >= number",
        arg=number,
        timeout=LONG,
    )


def kill_and_start(page: Page, stack: Stack, gate: Gate) -> None:
    """Kill Redis amid the upload; what is under way and two files more meet no store, the others wait for it."""
    gate.close()
    stack.redis.kill()
    try:
        gate.close(after=2)
        expect(page.locator(f"{ROWS}[data-state=waiting]").first).to_be_visible(timeout=LONG)
        gate.close()
    finally:
        stack.redis.start()
    gate.open()


def results(page: Page) -> dict[str, str]:
    """The id of the result beside each file, by its path; "" if there is none."""
    found = page.locator(ROWS).evaluate_all(
        """rows => rows.map((row) => {
            const file = row.querySelector('.file');
            return [file.textContent, file.pathname ?? ''];
        })"""
    )
    assert len(dict(found)) == len(found), "a file is shown twice"
    return {path: address.rpartition("/")[2] for path, address in found}


def found_by_content(page: Page, stack: Stack, file: Path) -> dict:
    """The result that the store has for a file's content and name."""
    sent = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "file": file.name}
    answer = page.request.post(f"{stack.ui.url}/predictions/find", data=sent, headers={"Origin": stack.ui.url})
    assert answer.status == 200, (file, answer.text())
    return answer.json()


@pytest.mark.repeat
@pytest.mark.usefixtures("emptied")
def test_mixed_files_keep_their_own_results_while_the_store_is_killed(stack: Stack, watched: Watched, mixed: Path):
    page = watched.page
    gate = Gate(page)
    gate.open()
    choose(page, stack, mixed)
    for number in KILLED_AT:
        until_done(page, number)
        kill_and_start(page, stack, gate)
    expect_the_end(page)
    files = {str(file.relative_to(mixed.parent)): file for file in mixed.rglob("*.*")}
    assert len(files) == FILES
    for _ in range(2):
        shown, beside = states(page), results(page)
        assert set(shown) == set(beside) == set(files)
        assert set(shown.values()) == {"pneumonia", "no pneumonia", "refused"}
        for path, file in files.items():
            result = found_by_content(page, stack, file)
            assert (beside[path], shown[path]) == (result["id"], result["finding"] or "refused"), path
        page.reload()
        expect(page.locator(ROWS)).to_have_count(FILES)
    of_content = {(file.name, file.read_bytes()) for file in files.values()}
    assert len(of_content) < FILES and stored_names_of_all(page, stack) == sorted(name for name, _ in of_content)


def stored_names_of_all(page: Page, stack: Stack) -> list[str]:
    """The file names of all stored results, of as many pages as there are."""
    names, query = [], ""
    while True:
        document = page.request.get(f"{stack.ui.url}/predictions{query}", headers={"Accept": "application/json"}).json()
        names += [each["file"] for each in document["predictions"]]
        if document["next"] is None:
            return sorted(names)
        query = f"?cursor={document['next']}"
