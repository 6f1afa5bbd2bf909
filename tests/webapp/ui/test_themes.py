"""The themes: kept in a cookie, the same colours in each, and enough contrast between them."""

import re
from pathlib import Path

import pytest

from webapp.ui import themes

STATIC = Path(themes.__file__).parent / "static"
SHEETS = [path.stem for path in sorted((STATIC / "themes").glob("*.css"))]
COLOUR = r"--([\w-]+): (#[0-9a-f]{6});"

_BACKGROUNDS = ("page", "card", "bar", "hover", "error-back", "refused-back")
TEXT = [
    *[("ink", back) for back in (*_BACKGROUNDS, "rail", "clear-back", "pneumonia-back")],
    *[("quiet", back) for back in _BACKGROUNDS],
    *[("link", back) for back in ("page", "card", "hover", "bar")],
    *[(name, back) for name in ("pneumonia", "clear", "refused") for back in ("page", "card", "hover", f"{name}-back")],
    *[("error", back) for back in ("card", "error-back")],
    ("refused", "error-back"),
    ("error-ink", "error-line"),
    *[("action-ink", back) for back in ("action", "action-hover")],
    *[(name, "banner") for name in ("banner-ink", "on-film", "on-film-quiet")],
]
SHAPES = [  # controls, and what the score bar says
    *[("control", back) for back in ("page", "card", "bar", "hover")],
    *[(name, back) for name in ("pneumonia-bar", "clear-bar") for back in ("rail", "card", "hover")],
    *[("tick", back) for back in ("pneumonia-bar", "clear-bar", "rail", "card", "hover")],
    *[("link", back) for back in ("page", "card", "bar")],
    *[("error-line", back) for back in ("page", "card", "error-back")],
    ("refused-line", "card"),
]


def colours(sheet: str) -> dict[str, str]:
    """The colours of a theme by name, as #rrggbb."""
    return dict(re.findall(COLOUR, (STATIC / f"themes/{sheet}.css").read_text()))


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of #rrggbb, 0 to 1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    """WCAG 2's contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(two)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sheet", SHEETS)
def test_text_and_controls_have_enough_contrast(sheet: str):
    values = colours(sheet)
    poor = [
        f"{front} on {back}: {contrast(values[front], values[back]):.2f}"
        for least, pairs in ((4.5, TEXT), (3.0, SHAPES))
        for front, back in pairs
        if contrast(values[front], values[back]) < least
    ]
    assert poor == []


@pytest.mark.parametrize("sheet", SHEETS)
def test_each_theme_has_a_value_for_every_colour(sheet: str):
    assert colours(sheet).keys() == colours("light").keys()


def test_every_colour_that_a_sheet_uses_is_in_the_themes():
    known = {*colours("light"), "shadow"}
    for path in STATIC.glob("*.css"):
        used = set(re.findall(r"var\(--([\w-]+)\)", path.read_text()))
        assert used <= known, path.name


def test_the_reading_room_is_dark_and_dim():
    values = colours("reading-room")
    bright = {name: colour for name, colour in values.items() if luminance(colour) > 0.45}
    assert set(bright) <= {"tick", "action-ink"}
    assert luminance(values["page"]) < 0.01 and luminance(values["card"]) < 0.01


def test_without_a_cookie_the_theme_is_the_systems(page):
    text = page.get("/").get_data(as_text=True)
    assert '<meta name="color-scheme" content="light dark">' in text
    assert re.search(r'themes/dark\.css" media="screen and \(prefers-color-scheme: dark\)"', text)
    assert 'value="system" aria-pressed="true"' in text


@pytest.mark.parametrize(
    ("name", "sheet", "scheme"), [("light", None, "light"), ("dark", "dark", "dark"), ("reading-room",) * 2 + ("dark",)]
)
def test_a_theme_is_in_the_first_answer(page, name, sheet, scheme):
    page.set_cookie("theme", name)
    for path in ("/", "/predictions", "/nothing", "/results?id=none"):
        text = page.get(path, headers={"Accept": "text/html"}).get_data(as_text=True)
        assert f'<meta name="color-scheme" content="{scheme}">' in text
        linked = re.findall(r'themes/([\w-]+)\.css" media="([^"]*)"', text)
        assert linked == ([(sheet, "screen")] if sheet else [])
        assert f'value="{name}" aria-pressed="true"' in text


def test_an_unknown_theme_in_the_cookie_is_the_systems(page):
    page.set_cookie("theme", 'x"><script>')
    text = page.get("/").get_data(as_text=True)
    assert 'value="system" aria-pressed="true"' in text
    assert "<script>" not in text


def choose(page, name: str, **headers: str):
    """Send the form as a browser without scripts does."""
    return page.post("/theme", data={"theme": name}, headers=headers)


def test_the_form_keeps_the_theme_and_goes_back(page):
    answer = choose(page, "dark", Referer="http://localhost/predictions?finding=refused&q=a%20b")
    assert (answer.status_code, answer.location) == (303, "/predictions?finding=refused&q=a%20b")
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("theme=dark; ") and "Max-Age=31536000" in cookie and "SameSite=Lax" in cookie
    assert 'value="dark" aria-pressed="true"' in page.get("/").get_data(as_text=True)


def test_over_https_the_cookie_is_secure(page):
    answer = page.post("/theme", data={"theme": "dark"}, base_url="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Secure" in choose(page, "dark", **{"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert "Secure" not in choose(page, "dark").headers["Set-Cookie"]


@pytest.mark.parametrize(
    "address", ["", "http://evil.example/predictions", "http://localhost//evil.example", "javascript:alert(1)", "x"]
)
def test_the_form_goes_back_to_no_other_site(page, address):
    assert choose(page, "light", Referer=address).location == "/"


def test_a_theme_that_does_not_exist_is_refused(page):
    answer = choose(page, "white")
    assert answer.status_code == 400
    assert "Set-Cookie" not in answer.headers


def test_another_site_cannot_change_the_theme(page):
    assert choose(page, "dark", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
