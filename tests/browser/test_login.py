"""With AUTH=users, in a real browser: log in, a session that ends in the middle of work, and what a role is offered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import BrowserContext, Page, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.webapp.servers import TOKEN

PASSWORD = "correct horse battery"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Stack]:
    """The stack with users."""
    started = Stack.started(tmp_path_factory.mktemp("stack"), tiny_bundle, AUTH="users")
    yield started
    started.stop()


def link_of(stack: Stack, name: str, role: str) -> str:
    """Invite a user, or give a new link to one; returns the token of the link."""
    answer = urllib3.request("POST", f"{stack.api.url}/v1/users", headers=OPERATOR, json={"name": name, "role": role})
    if answer.status == 409:
        answer = urllib3.request("POST", f"{stack.api.url}/v1/users/{name}/link", headers=OPERATOR)
    return answer.json()["link"]["token"]


def become(page: Page, stack: Stack, name: str, role: str) -> None:
    """Set the password by a link, which logs in."""
    page.goto(f"{stack.ui.url}/set-password?link={link_of(stack, name, role)}")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password and log in").click()
    expect(page.get_by_role("link", name=f"Account: {name}")).to_be_visible()


def log_in(page: Page, name: str) -> None:
    """Fill in the page to log in."""
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def end_sessions(stack: Stack) -> None:
    """End every session, as the idle limit does."""
    client = stack.redis.client()
    for key in client.scan_iter("pneumo:1:session:*"):
        client.delete(key)


def stored(stack: Stack, name: str = "film.png") -> str:
    """The id of a stored result."""
    body = {"file": (name, phantom.png(7, 192))}
    answer = urllib3.request("POST", f"{stack.api.url}/v1/predictions", headers=OPERATOR, fields=body)
    return answer.json()["predictions"][0]["id"]


def total(stack: Stack) -> int:
    return urllib3.request("GET", f"{stack.api.url}/v1/predictions", headers=OPERATOR).json()["total"]


def test_a_person_logs_in_and_out(stack: Stack, watched: Watched, shoot):
    page = watched.page
    become(page, stack, "alice", "reviewer")
    shoot(page, "home")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(f"{stack.ui.url}/predictions?finding=refused")
    shoot(page, "login")
    log_in(page, "alice")
    expect(page).to_have_url(f"{stack.ui.url}/predictions?finding=refused")
    (cookie,) = [each for each in page.context.cookies() if each["name"] == "session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
    assert watched.complaints == []


def test_a_wrong_password_is_an_error(stack: Stack, watched: Watched, shoot):
    page = watched.page
    page.goto(stack.ui.url)
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The name, the password or the code is wrong.")
    expect(page.get_by_label("User name")).to_have_value("nobody")
    expect(page.get_by_label("Password")).to_have_value("")
    shoot(page, "login-wrong")


def test_a_session_that_ends_during_an_upload_loses_no_file(stack: Stack, watched: Watched, tmp_path: Path, shoot):
    films = [tmp_path / f"{number}.png" for number in range(5)]
    for number, film in enumerate(films):
        film.write_bytes(phantom.png(number, 192))
    page, before = watched.page, total(stack)
    become(page, stack, "bob", "reviewer")
    page.get_by_label("Chest X-rays").set_input_files(films)
    expect(page.locator("[data-queue] li")).to_have_count(len(films))
    expect(page.get_by_text("Log in again in a new tab")).to_be_hidden()
    end_sessions(stack)
    page.get_by_role("button", name="Assess").click()
    expect(page.locator("[data-queue] li[data-state=error]")).to_have_count(len(films))
    for row in page.locator("[data-queue] li").all():
        expect(row).to_contain_text("Your session has ended. Log in again, then try again.")
    assert total(stack) == before
    shoot(page, "upload-session-ended")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Log in again in a new tab").click()
    log_in(opened.value, "bob")
    expect(opened.value.get_by_role("link", name="Account: bob")).to_be_visible()
    page.get_by_role("button", name="Try all failed again").click()
    expect(page.locator("[data-queue] li:is([data-state=pneumonia], [data-state='no pneumonia'])")).to_have_count(
        len(films)
    )
    expect(page.get_by_text("Log in again in a new tab")).to_be_hidden()
    assert total(stack) == before + len(films)


def test_another_user_of_the_tab_does_not_see_the_list_of_an_upload(stack: Stack, watched: Watched, tmp_path: Path):
    film, page = tmp_path / "name-of-a-patient.png", watched.page
    film.write_bytes(phantom.png(3, 192))
    become(page, stack, "grace", "reviewer")
    page.get_by_label("Chest X-rays").set_input_files(film)
    expect(page.locator("[data-queue] li")).to_have_count(1)
    page.get_by_role("button", name="Log out").click()
    become(page, stack, "heidi", "reviewer")
    expect(page.locator("form.scripted")).to_be_visible()
    expect(page.locator("[data-queue] li")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    log_in(page, "grace")
    expect(page.locator("[data-queue] li[data-state=unsent]")).to_have_count(1)


def test_a_review_by_a_key_without_a_session_is_an_error_and_can_be_saved_later(stack: Stack, watched: Watched):
    page, identifier = watched.page, stored(stack)
    become(page, stack, "carol", "reviewer")
    page.goto(f"{stack.ui.url}/predictions/{identifier}")
    expect(page.locator("[data-film].loading")).to_have_count(0)
    page.get_by_label("Comment").fill("left lower lobe")
    end_sessions(stack)
    page.locator("#film").focus()
    page.keyboard.press("3")
    expect(page.locator(".said[role=alert]")).to_contain_text("the review was not saved: your session has ended")
    expect(page.get_by_label("Comment")).to_have_value("left lower lobe")
    other = page.context.new_page()
    other.goto(stack.ui.url)
    log_in(other, "carol")
    expect(other.get_by_role("link", name="Account: carol")).to_be_visible()
    page.locator("#film").focus()
    page.keyboard.press("3")
    expect(page.locator(".reviews-list")).to_contain_text("left lower lobe")


def test_a_review_without_scripts_is_kept_through_the_login(stack: Stack, scriptless: BrowserContext, shoot):
    page, identifier = scriptless.new_page(), stored(stack)
    become(page, stack, "dora", "reviewer")
    page.goto(f"{stack.ui.url}/predictions/{identifier}")
    page.get_by_label("unsure").check()
    page.get_by_label("Comment").fill("rotated film")
    end_sessions(stack)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("What you sent was not saved")
    log_in(page, "dora")
    expect(page.get_by_role("heading", name="Not saved yet")).to_be_visible()
    shoot(page, "not-saved-yet")
    page.get_by_role("button", name="Send it now").click()
    expect(page.locator(".reviews-list")).to_contain_text("rotated film")


def test_a_reader_is_offered_neither_an_upload_nor_a_review(stack: Stack, watched: Watched, shoot):
    page, identifier = watched.page, stored(stack)
    become(page, stack, "erin", "reader")
    expect(page.locator("form[data-upload]")).to_have_count(0)
    expect(page.get_by_role("link", name="film.png").first).to_be_visible()
    shoot(page, "home-reader")
    page.goto(f"{stack.ui.url}/predictions/{identifier}")
    expect(page.locator(".reviews-new")).to_have_count(0)
    page.locator("#film").focus()
    page.keyboard.press("1")
    expect(page.locator(".said[role=alert]")).to_have_count(0)
    assert watched.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_a_telephone(stack: Stack, watched: Watched, shoot, scheme):
    page = watched.page
    page.emulate_media(color_scheme=scheme)
    become(page, stack, "frank", "admin")
    page.set_viewport_size({"width": 320, "height": 640})
    for path in ("/", "/account", "/predictions", "/login", "/set-password?link=x"):
        page.goto(stack.ui.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
        shoot(page, f"phone-{scheme}-{path.strip('/').partition('?')[0] or 'home'}")
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(f"{stack.ui.url}/account")
    shoot(page, f"account-{scheme}")
    page.get_by_label("Password", exact=True).last.fill(PASSWORD)
    page.get_by_role("button", name="Turn codes on").click()
    expect(page.get_by_role("heading", name="Turn codes on")).to_be_visible()
    shoot(page, f"codes-{scheme}")


def test_an_open_list_keeps_no_session_alive_and_says_when_it_has_ended(stack: Stack, watched: Watched):
    page = watched.page
    become(page, stack, "ivan", "reader")
    page.add_init_script(
        "const every = window.setInterval.bind(window); window.setInterval = (run, ms) => every(run, ms / 25);"
    )
    page.goto(f"{stack.ui.url}/predictions")
    with page.expect_request(f"{stack.ui.url}/predictions") as asked:
        stored(stack, "seen by the open list.png")
    assert asked.value.headers["x-unattended"] == "1"
    news = page.locator("[data-news]")
    expect(news).to_contain_text("1 new result in this list.")
    end_sessions(stack)
    expect(news).to_contain_text("Your session has ended. This list may be out of date")
    news.get_by_role("button", name="Log in").click()
    log_in(page, "ivan")
    expect(page).to_have_url(f"{stack.ui.url}/predictions")
    expect(page.get_by_role("link", name="seen by the open list.png").first).to_be_visible()


def test_the_head_of_the_page_fits_every_width_with_a_long_name(stack: Stack, watched: Watched, shoot):
    page = watched.page
    become(page, stack, "alexandra.konstantinopoulou", "admin")
    page.goto(f"{stack.ui.url}/predictions")
    shown = page.locator(".account-bar .button").evaluate("button => button.getBoundingClientRect().height")
    for language, words in (("en", "Results"), ("es", "Resultados")):
        if language == "es":
            page.get_by_role("button", name="Español").click()
        expect(page.get_by_role("heading", name=words)).to_be_visible()
        for width in (320, 360, 390, 480, 640, 641, 700, 768, 820, 1024):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, width
            button = page.locator(".account-bar .button").bounding_box()
            assert button["x"] + button["width"] <= width, width
            assert button["height"] == shown, f"{width}: the words of the button are in two lines"
            if width == 768:
                shoot(page, f"head-768-{language}")
