"""What an upload loses and finds: a store or a server that goes away, a reload, an answer that is lost."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import FINDINGS
from tests.browser.upload_folder import sent_paths
from tests.browser.upload_pages import LONG, ROWS, Gate, choose, expect_the_end, expect_the_whole_folder, states

pytestmark = pytest.mark.usefixtures("emptied")


def test_a_store_that_goes_away_and_comes_back_loses_and_doubles_nothing(stack: Stack, watched: Watched, folder: Path):
    page = watched.page
    gate = Gate(page)
    choose(page, stack, folder)
    gate.wait()
    stack.redis.kill()
    gate.open()
    try:
        expect(page.locator("[data-announce]")).to_contain_text("goes on by itself", timeout=LONG)
        gate.close()
    finally:
        stack.redis.start()
    gate.open()
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
        expect(page.locator(ROWS).filter(has_text="Tries again in").first).to_be_visible(timeout=LONG)
        gate.close()
    finally:
        stopped.start()
    gate.open()
    expect_the_end(page)
    expect_the_whole_folder(page, stack, folder)


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
    final = unknown.filter(has_text="No result of it was found.")
    while final.count() < 2:
        page.clock.run_for(1000)  # until it has been looked for three times; each answer comes when it comes
    expect(unknown.first).to_contain_text("No result of it was found.")
    expect(unknown.first).to_contain_text("To send it, choose it again.")
    expect(page.locator("[data-queue]").locator(FINDINGS)).to_have_count(0)
    expect(unknown.first.get_by_role("button", name="Look again")).to_be_visible()


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
