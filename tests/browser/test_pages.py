"""The page in a real browser: broken files, a killed Redis, no scripts, dark mode, small screens."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from model import phantom
from tests.browser.conftest import Stack, Watched

FINDINGS = ".badge.pneumonia, .badge.clear, .verdict.pneumonia, .verdict.clear"
REFUSED = ".badge.refused, .verdict.refused"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A drawing with an opacity, one without, and a truncated file."""
    folder = tmp_path_factory.mktemp("pictures")
    opaque, clear, broken = folder / "opacity.png", folder / "clear.png", folder / "broken.png"
    opaque.write_bytes(phantom.png(103, 512, opacity=True))
    clear.write_bytes(phantom.png(104, 512, opacity=False))
    broken.write_bytes(opaque.read_bytes()[:2000])
    return [opaque, clear, broken]


def assess(page: Page, stack: Stack, files: list[Path]) -> None:
    """Select files and submit them."""
    page.goto(stack.ui.url)
    page.get_by_label("Chest X-rays").set_input_files(files)
    page.get_by_role("button", name="Assess").click()


def show_together(page: Page) -> None:
    """When an upload with scripts has ended, go to the page of its results."""
    page.get_by_role("link", name="Show the results together").click()
    page.wait_for_url("**/results?*")


def test_upload_list_and_detail_with_one_broken_file(stack: Stack, watched: Watched, pictures: list[Path], shoot):
    page = watched.page
    page.goto(stack.ui.url)
    shoot(page, "home-empty")
    page.get_by_label("Chest X-rays").set_input_files(pictures)
    expect(page.locator("[data-queue] li")).to_have_count(3)
    shoot(page, "home-chosen")
    page.get_by_role("button", name="Assess").click()
    show_together(page)
    expect(page.locator(FINDINGS)).to_have_count(2)
    expect(page.locator(REFUSED)).to_have_count(1)
    expect(page.get_by_text("Signs of pneumonia found by the model")).to_have_count(1)
    expect(page.get_by_text("Below the balanced operating point: sensitivity .90 on validation")).to_have_count(1)
    expect(page.locator("article.refused").get_by_text("Not assessed: the PNG file is damaged")).to_be_visible()
    expect(page.get_by_text("Not a medical device")).to_be_visible()
    expect(page.locator(".cautions li")).to_have_count(2)
    shoot(page, "results")
    page.emulate_media(media="print")
    expect(page.locator(".cautions li").first).to_be_visible()
    shoot(page, "results-print")
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Results", exact=True).click()
    expect_the_list_before_and_after_a_reload(page)
    shoot(page, "list")
    page.get_by_role("link", name="opacity.png").click()
    expect(page.get_by_alt_text("The picture that was sent")).to_have_js_property("complete", True)
    page.get_by_role("link", name="Show heat map").click()
    heatmap = page.get_by_alt_text("Heat map over the picture")
    page.wait_for_function("image => image.complete && image.naturalWidth === 512", arg=heatmap.element_handle())
    shoot(page, "heat-map")
    page.get_by_label("unsure").check()
    page.get_by_label("Comment").fill("for the test")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("for the test")).to_be_visible()
    shoot(page, "detail")
    assert watched.complaints == []


def expect_the_list_before_and_after_a_reload(page: Page) -> None:
    for _ in range(2):
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.locator(FINDINGS)).to_have_count(2)
        expect(rows.locator(REFUSED)).to_have_count(1)
        expect(rows.locator(".caution-names")).to_have_count(2)
        page.reload()


def test_redis_killed_is_an_error_and_no_finding(stack: Stack, watched: Watched, pictures: list[Path], shoot):
    page = watched.page
    assess(page, stack, pictures[:2])
    show_together(page)
    results = page.url
    stack.redis.kill()
    try:
        page.goto(results)
        expect(page.get_by_role("alert")).to_contain_text("Error")
        expect(page.locator(FINDINGS)).to_have_count(0)
        page.goto(stack.ui.url)
        expect(page.get_by_role("alert")).to_contain_text("not available at the moment")
        page.get_by_role("button", name="Clear the list").click()
        expect(page.locator(FINDINGS)).to_have_count(0)
        page.get_by_label("Chest X-rays").set_input_files(pictures[:2])
        page.get_by_role("button", name="Assess").click()
        rows = page.locator("[data-queue] li")
        expect(rows.filter(has_text="Tries again in")).to_have_count(2)
        expect(rows.first).to_contain_text("Results cannot be stored or read at the moment")
        expect(page.locator(FINDINGS)).to_have_count(0)
        shoot(page, "error-redis")
    finally:
        stack.redis.start()
    show_together(page)
    expect(page.locator(FINDINGS)).to_have_count(2)
    page.goto(results)
    expect(page.locator(FINDINGS)).to_have_count(2)


def test_the_page_stops_during_an_upload(stack: Stack, watched: Watched, pictures: list[Path], shoot):
    page = watched.page
    page.goto(stack.ui.url)
    page.get_by_label("Chest X-rays").set_input_files(pictures[:1])
    stack.ui.stop()
    try:
        page.get_by_role("button", name="Assess").click()
        expect(page.locator("[data-queue] li")).to_contain_text("The server did not respond.")
        shoot(page, "error-offline")
    finally:
        stack.ui.start()
    show_together(page)
    expect(page.locator(FINDINGS)).to_have_count(1)


def test_a_picture_that_does_not_load_is_an_error(stack: Stack, watched: Watched, pictures: list[Path], shoot):
    page = watched.page
    page.route("**/image.png", lambda route: route.abort())
    assess(page, stack, pictures[:1])
    show_together(page)
    note = page.get_by_role("alert").filter(has_text="could not be loaded")
    expect(note).to_be_visible()
    expect(page.locator(".thumb")).to_have_count(0)
    expect(page.locator(FINDINGS)).to_have_count(1)
    shoot(page, "results-without-picture")
    page.unroute("**/image.png")
    page.reload()
    expect(page.locator(".thumb img")).to_be_visible()
    expect(note).to_have_count(0)


def test_the_page_works_without_scripts(stack: Stack, scriptless, pictures: list[Path]):
    page = scriptless.new_page()
    page.goto(stack.ui.url)
    assert page.get_by_text("at most 20 files").is_visible()
    assert not page.get_by_text("Or a folder").is_visible()
    assert not page.get_by_text("This upload").is_visible()
    assess(page, stack, pictures)
    page.wait_for_url("**/results?*")
    assert page.locator(FINDINGS).count() == 2
    assert page.locator(REFUSED).count() == 1
    page.goto(f"{stack.ui.url}/predictions?finding=refused")
    assert page.locator("tbody tr").count() >= 1
    stack.redis.kill()
    try:
        assess(page, stack, pictures[:1])
        assert page.get_by_role("alert").is_visible()
        assert page.locator(FINDINGS).count() == 0
        assert page.get_by_role("link", name="Choose files and try again").is_visible()
    finally:
        stack.redis.start()


def test_a_result_is_erased_without_scripts(stack: Stack, scriptless, pictures: list[Path]):
    page = scriptless.new_page()
    assess(page, stack, pictures[:1])
    page.wait_for_url("**/results?*")
    page.locator("article a.file").click()
    address = page.url
    page.get_by_text("Details", exact=True).click()
    page.get_by_role("link", name="Erase this result").click()
    page.get_by_role("link", name="Keep it").click()
    assert page.url == address
    page.goto(f"{address}/erase")
    page.get_by_role("button", name="Erase for good").click()
    assert page.get_by_role("heading", name="The result was erased").is_visible()
    page.goto(address)
    assert "This result was erased" in page.get_by_role("alert").inner_text()
    assert page.locator(FINDINGS).count() == 0


def test_an_upload_over_the_limit_shows_an_error_page(stack: Stack, scriptless, tmp_path: Path):
    """The browser must show the response although the upload was rejected before it was read."""
    large = tmp_path / "large.dcm"
    large.write_bytes(b"x" * 27 * 1024 * 1024)
    page = scriptless.new_page()
    assess(page, stack, [large])
    assert "The upload is too large" in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize(
    ("scheme", "device", "width"),
    [
        ("light", "desktop", 1200),
        ("dark", "phone", 390),
        pytest.param("dark", "desktop", 1200, marks=pytest.mark.repeat),
        pytest.param("light", "phone", 390, marks=pytest.mark.repeat),
    ],
)
def test_pages_fit_the_screen_and_are_readable(stack: Stack, browser: Browser, pictures, shoot, scheme, device, width):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    assess(page, stack, pictures)
    show_together(page)
    pages = {"results": page.url, "home": stack.ui.url, "list": f"{stack.ui.url}/predictions"}
    first, second = (page.locator("article a.file").nth(number).get_attribute("href") for number in range(2))
    stack.redis.client().delete(f"pneumo:1:image:{second[-32:]}")
    pages |= {"detail": f"{stack.ui.url}{first}?heatmap=1", "error": f"{stack.ui.url}/results?id=none"}
    pages |= {"lost": f"{stack.ui.url}{second}", "erase": f"{stack.ui.url}{first}/erase"}
    for name, address in pages.items():
        page.goto(address)
        shoot(page, f"{name}-{device}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
        poor = page.evaluate(CONTRAST)
        assert poor == [], f"{name}: too little contrast (WCAG 2 AA, 4.5:1)"
    page.goto(f"{stack.ui.url}{second}/erase")  # the next run assesses the same picture: it is stored anew
    page.get_by_role("button", name="Erase for good").click()
    context.close()


# Text colour against the first opaque background behind it, by WCAG 2's relative luminance.
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) { return colour; }
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const box = element.getBoundingClientRect();
    if (!own || !box.width || element.closest("template, svg, select, .sr, .skip")) { continue; }
    const [one, two] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) { poor.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`); }
  }
  return poor;
}"""
