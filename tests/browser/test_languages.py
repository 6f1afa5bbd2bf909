"""The page in Spanish in a real browser: complete also where scripts speak, switched by a button, and narrow enough."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Stack, Watched
from tests.browser.test_themes import FILES, addresses  # noqa: F401 - a fixture
from tests.webapp.ui import words

# What people read or hear, but for names and values that are the same in every language.
SAID = """() => {
    const said = [];
    const kept = "script, style, code, kbd, bdi, .file, dd, [lang=en]";
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        if (!node.parentElement.closest(kept)) { said.push(node.textContent); }
    }
    for (const element of document.querySelectorAll("[aria-label], [title], [alt]")) {
        if (element.closest(kept)) { continue; }
        for (const name of ["aria-label", "title", "alt"]) { said.push(element.getAttribute(name) ?? ""); }
    }
    return said;
}"""
CHOSEN = "Radiografías de tórax"


@pytest.fixture
def spanish(browser: Browser) -> Iterator[Watched]:
    """A new watched page of a browser that wants Spanish."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light", locale="es-ES")
    yield Watched(context.new_page())
    context.close()


def assert_spanish(page: Page) -> None:
    """No English is left."""
    assert page.locator("html").get_attribute("lang") == "es"
    assert words.in_english(page.evaluate(SAID)) == []


def test_pages_are_spanish_and_fit_a_phone(addresses, spanish: Watched, shoot):  # noqa: F811
    page = spanish.page
    for name, address in addresses.items():
        page.set_viewport_size({"width": 320, "height": 700})
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert_spanish(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, f"{name}: {wide} pixels"
        shoot(page, f"es-{name}-phone")
        page.set_viewport_size({"width": 1200, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200, name
        shoot(page, f"es-{name}")


def test_a_button_switches_the_language(stack: Stack, watched: Watched):
    page = watched.page
    page.goto(f"{stack.ui.url}/predictions?q=nothing")
    page.get_by_role("button", name="Español").click()
    expect(page.get_by_role("heading", name="Resultados")).to_be_visible()
    assert page.url.endswith("/predictions?q=nothing")
    assert_spanish(page)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    assert watched.complaints == []


def test_the_language_is_switched_without_scripts(stack: Stack, scriptless: BrowserContext):
    page = scriptless.new_page()
    page.goto(stack.ui.url)
    page.get_by_role("button", name="Español").click()
    expect(page.get_by_role("button", name="Evaluar")).to_be_visible()
    assert_spanish(page)


def test_an_upload_speaks_spanish(stack: Stack, spanish: Watched, shoot):
    page = spanish.page
    page.goto(stack.ui.url)
    files = [{"name": f"es {name}", "mimeType": "image/png", "buffer": content} for name, content in FILES.items()]
    page.get_by_label(CHOSEN).set_input_files(files)
    expect(page.get_by_text("Elegidos: 4")).to_be_visible()
    assert_spanish(page)
    page.get_by_role("button", name="Evaluar").click()
    together = page.get_by_role("link", name="Mostrar los resultados juntos")
    expect(together).to_be_visible()
    assert_spanish(page)
    expect(page.locator("[data-queue] .badge.pneumonia").first).to_have_text(re.compile("Signos de neumonía"))
    expect(page.locator("[data-queue] .badge.clear").first).to_have_text(re.compile("Por debajo de: equilibrado"))
    expect(page.locator("[data-queue] .badge.refused")).to_have_text(re.compile("No evaluada"))
    expect(page.locator("[data-queue] .number").first).to_have_text(re.compile(r"P [01],\d{3}"))
    shoot(page, "es-upload")
    page.get_by_role("button", name="English").click()  # the list stays, in the other language
    expect(page.locator("[data-queue]").get_by_text("the file is not a PNG, JPEG or DICOM file")).to_be_visible()
    expect(page.get_by_role("link", name="Show the results together")).to_be_visible()
    assert [each for each in spanish.complaints if "502" not in each] == []  # the picture that is lost


def test_a_lost_answer_is_an_error_in_spanish(stack: Stack, spanish: Watched, shoot):
    page = spanish.page
    page.goto(stack.ui.url)
    page.route("**/predictions", lambda route: route.fulfill(status=500, body="broken"))
    content = FILES["opacity.png"]
    page.get_by_label(CHOSEN).set_input_files([{"name": "x.png", "mimeType": "image/png", "buffer": content}])
    page.get_by_role("button", name="Evaluar").click()
    expect(page.locator("[data-queue] .badge")).to_have_text(re.compile("Error: sin resultado"))
    expect(page.get_by_text("El servidor respondió con el estado 500.")).to_be_visible()
    assert_spanish(page)
    shoot(page, "es-upload-error")


def test_keys_films_and_lists_speak_spanish(addresses, spanish: Watched, shoot):  # noqa: F811
    page = spanish.page
    page.goto(addresses["detail"])
    expect(page.locator("[data-shown]")).to_have_text(re.compile("Ampliada al|Se muestra al"))
    expect(page.locator("[data-stored]")).to_have_text(re.compile("píxeles, 8 bits"))
    expect(page.locator("time").first).to_have_text(re.compile(r"^\d\d/\d\d/\d{4} "))
    page.keyboard.press("i")
    expect(page.locator("[data-changed]")).to_have_text("Invertida.")
    page.keyboard.press("3")
    expect(page.locator("[data-said]")).to_have_text("Guardada: dudoso.")
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.wait_for_load_state("networkidle")
    assert_spanish(page)
    page.keyboard.press("?")
    shoot(page, "es-keys")
    page.goto(addresses["list"])
    page.route("**/predictions?q=*", lambda route: route.abort())
    page.get_by_label("Nombre de archivo").fill("abc")
    expect(page.get_by_role("alert")).to_contain_text("Error: no se pudo buscar en la lista")
    assert_spanish(page)
