"""The themes in a real browser, and what a machine can judge of every page in each of them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from model import phantom
from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import CONTRAST, assess, show_together
from tests.templates.programs import checker

THEMES = ("light", "dark", "reading-room")
DIM = 0.7  # of white: the brightest text of the reading room
FILES = {
    "opacity.png": phantom.png(121, 512, opacity=True),
    "clear chest-pa-2026-11-03-emergency-department-portable.png": phantom.png(122, 512, opacity=False),
    "lost.png": phantom.png(123, 512, opacity=True),
    "notes.png": b"%PDF-1.7",
}


@pytest.fixture(scope="module")
def addresses(stack: Stack, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of each kind of page: results, a refusal, a picture that is not there, errors, and no results."""
    page = browser.new_page()
    page.goto(stack.ui.url)
    files = [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in FILES.items()]
    page.get_by_label("Chest X-rays").set_input_files(files)
    page.get_by_role("button", name="Assess").click()
    show_together(page)
    links = {link.inner_text(): stack.ui.url + str(link.get_attribute("href")) for link in page.locator("h2 a").all()}
    found, clear, lost, refused = (links[name] for name in FILES)
    stack.redis.client().delete(f"pneumo:1:image:{lost[-32:]}")
    pages = {
        "home": stack.ui.url,
        "list": f"{stack.ui.url}/predictions",
        "nothing": f"{stack.ui.url}/predictions?q=nothing&finding=pneumonia",
        "results": page.url,
        "detail": found,
        "reviewed": clear,
        "heat-map": f"{found}?heatmap=1",
        "lost": lost,
        "refused": refused,
        "erase": f"{found}/erase",
        "erased": f"{stack.ui.url}/erased?id={'0' * 32}",
        "error": f"{stack.ui.url}/results?id=none",
        "missing": f"{stack.ui.url}/predictions/{'0' * 32}",
    }
    page.goto(clear)
    page.get_by_label("pneumonia", exact=True).check()
    page.get_by_label("Comment").fill("seen at the left base")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The review contradicts the model")).to_be_visible()
    page.close()
    return pages


@pytest.fixture(params=THEMES)
def themed(request: pytest.FixtureRequest, stack: Stack, browser: Browser) -> Iterator[BrowserContext]:
    """A browser in which a theme was chosen, on a system with the other colours."""
    other = "light" if request.param != "light" else "dark"
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=other)
    context.add_cookies([{"name": "theme", "value": request.param, "url": stack.ui.url}])
    yield context
    context.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds on a page: its rules, each with the elements that break it."""
    page.evaluate(Path(checker("axe")).read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


def open_fully(page: Page, address: str) -> None:
    """Open a page with all that can be unfolded on it."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true; })")


def test_axe_finds_nothing_on_any_page(addresses: dict[str, str], themed: BrowserContext, shoot):
    page = themed.new_page()
    for name, address in addresses.items():
        open_fully(page, address)
        assert violations(page) == [], name
    page.goto(addresses["list"])
    page.get_by_role("button", name="Keys").click()
    assert violations(page) == [], "the keys"
    page.keyboard.press("Escape")
    page.get_by_text("Theme", exact=True).click()
    assert violations(page) == [], "the themes"


def test_axe_finds_nothing_while_files_are_sent_and_when_some_failed(
    stack: Stack, themed: BrowserContext, tmp_path: Path
):
    page = themed.new_page()
    page.goto(stack.ui.url)
    held = []
    page.route("**/predictions", lambda route: held.append(route))
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(phantom.png(130 + number, 192, opacity=True))
    assess(page, stack, files)
    expect(page.locator("[data-queue] li progress")).to_have_count(2)
    assert violations(page) == [], "sending"
    while held:
        held.pop().abort()
        page.wait_for_timeout(50)
    expect(page.get_by_text("Tries again in").first).to_be_visible()
    assert violations(page) == [], "waiting"
    page.get_by_role("button", name="Cancel all").click()
    expect(page.get_by_text("Cancelled: no result")).to_have_count(4)
    assert violations(page) == [], "cancelled"


def test_axe_finds_nothing_when_the_store_is_away(stack: Stack, addresses: dict[str, str], themed: BrowserContext):
    page = themed.new_page()
    stack.redis.kill()
    try:
        for name in ("home", "list", "detail"):
            page.goto(addresses[name])
            expect(page.get_by_role("alert").first).to_be_visible()
            assert violations(page) == [], name
    finally:
        stack.redis.start()


@pytest.mark.parametrize("width", [320, pytest.param(768, marks=pytest.mark.repeat)])
def test_no_page_scrolls_sideways_and_all_text_is_readable(addresses, themed: BrowserContext, shoot, width: int):
    page = themed.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    for name, address in addresses.items():
        open_fully(page, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(CONTRAST) == [], name
        page.get_by_text("Theme", exact=True).locator("..").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name}, its themes"
        menu = page.locator(".theme-menu").bounding_box()
        assert menu and menu["x"] >= 0 and menu["x"] + menu["width"] <= width, f"{name}, its themes"


def test_around_a_film_it_is_dark_in_every_theme(addresses: dict[str, str], themed: BrowserContext):
    page = themed.new_page()
    for name in ("detail", "heat-map", "lost", "refused"):
        page.goto(addresses[name])
        for area in page.locator(".film-column, .film, .heat-map").all():
            assert area.evaluate("area => getComputedStyle(area).backgroundColor") == "rgb(0, 0, 0)", name


def test_nothing_in_the_reading_room_is_white(stack: Stack, browser: Browser, addresses: dict[str, str], shoot):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.add_cookies([{"name": "theme", "value": "reading-room", "url": stack.ui.url}])
    page = context.new_page()
    for name, address in addresses.items():
        open_fully(page, address)
        shoot(page, f"reading-room-{name}")
        # Films and their small pictures may be as bright as they are.
        films = [page.locator(".stage, main img, .brand img")]
        picture = page.screenshot(full_page=True, mask=films, mask_color="#000000")
        grey = Image.open(io.BytesIO(picture)).convert("L")
        bright = sum(grey.histogram()[round(255 * DIM) :]) / (grey.width * grey.height)
        assert bright < 0.002, f"{name}: {100 * bright:.2f} % are bright"
    context.close()


def pressed(page: Page) -> str:
    """The theme that the menu shows as chosen."""
    return str(page.locator(".theme-menu button[aria-pressed=true]").get_attribute("value"))


def background(page: Page) -> str:
    """The colour of the page."""
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_a_theme_is_chosen_and_kept_without_a_new_page(stack: Stack, watched: Watched, addresses: dict[str, str]):
    page = watched.page
    page.goto(addresses["detail"])
    page.get_by_label("Comment").fill("half a comm")
    light = background(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_text("Theme", exact=True).click()
    page.get_by_role("button", name="Reading room").click()
    page.wait_for_function("light => getComputedStyle(document.body).backgroundColor !== light", arg=light)
    expect(page.get_by_role("button", name="Reading room")).to_be_hidden()
    expect(page.get_by_label("Comment")).to_have_value("half a comm")
    assert [url.rpartition("/")[2] for url in sent] == ["reading-room.css"]
    dark = background(page)
    page.goto(addresses["nothing"])
    assert (background(page), pressed(page)) == (dark, "reading-room")
    page.get_by_text("Theme", exact=True).click()
    page.get_by_role("button", name="Light", exact=True).click()
    assert background(page) == light
    page.reload()
    assert (background(page), pressed(page)) == (light, "light")
    page.get_by_text("Theme", exact=True).click()
    page.get_by_role("button", name="As the system").click()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("light => getComputedStyle(document.body).backgroundColor !== light", arg=light)
    page.keyboard.press("Escape")
    assert watched.complaints == []


def test_a_theme_is_chosen_without_scripts(stack: Stack, scriptless: BrowserContext, addresses: dict[str, str]):
    page = scriptless.new_page()
    page.goto(addresses["nothing"])
    light = background(page)
    page.get_by_text("Theme", exact=True).click()
    page.get_by_role("button", name="Dark", exact=True).click()
    assert page.url == addresses["nothing"]
    assert (background(page) != light, pressed(page)) == (True, "dark")


def test_paper_is_light_whatever_the_theme(addresses: dict[str, str], themed: BrowserContext):
    page = themed.new_page()
    page.goto(addresses["results"])
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []


def test_times_are_those_of_the_reader_with_utc_on_hover(stack: Stack, browser: Browser, addresses: dict[str, str]):
    context = browser.new_context(timezone_id="Asia/Kolkata", locale="de-DE")
    page = context.new_page()
    page.goto(addresses["list"])
    time = page.locator("tbody time").first
    expect(time).to_contain_text("GMT+5:30")
    shown = time.evaluate(
        """time => {
          const local = new Date(new Date(time.dateTime).getTime() + 330 * 60000).toISOString();
          return [time.textContent, time.title, `${local.slice(0, 10)} ${local.slice(11, 19)} GMT+5:30`];
        }"""
    )
    assert shown[0] == shown[2]
    assert shown[1].endswith(" UTC")
    added = "document.querySelector('tbody').insertAdjacentHTML('beforeend', %s)"
    row = "<tr class='added'><td><time datetime='2026-01-02T20:00:00Z'>2026-01-02 20:00:00 UTC</time></td></tr>"
    page.evaluate(added % json.dumps(row))
    expect(page.locator(".added time")).to_have_text("2026-01-03 01:30:00 GMT+5:30")
    expect(page.locator(".added time")).to_have_attribute("title", "2026-01-02 20:00:00 UTC")
    context.close()


def test_without_scripts_times_are_utc(scriptless: BrowserContext, addresses: dict[str, str]):
    page = scriptless.new_page()
    page.goto(addresses["list"])
    assert page.locator("tbody time").first.inner_text().endswith(" UTC")


@pytest.mark.parametrize("width", [1280, 1920])
def test_rows_of_the_list_are_40_pixels_high_on_a_desk(addresses, browser: Browser, width: int):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(addresses["list"])
    heights = page.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert heights == [40] * len(FILES)
    page.close()
