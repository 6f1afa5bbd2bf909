"""The rules of Mozilla's HTTP Observatory for its grade A+, for every kind of answer of the page.

The Observatory's own program judges the front door in tests/templates/test_front_door.py, with HSTS and redirects.
"""

import re

import pytest

from tests.webapp.ui.pages import send

BROAD = ("*", "http:", "https:", "blob:", "data:", "'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "ftp:")
PATHS = (
    "/",
    "/predictions",
    "/predictions?finding=refused",
    "/predictions?order=none",
    "/results?id=none",
    "/predictions/" + "0" * 32,
    "/predictions/" + "0" * 32 + "/erase",
    "/nothing",
    "/livez",
    "/static/style.css",
    "/static/themes/dark.css",
    "/static/theme.js",
)


def directives(policy: str) -> dict[str, list[str]]:
    """The sources of each directive of a content security policy; a directive that is there twice fails."""
    parts = [part.split() for part in policy.split(";")]
    assert len({part[0] for part in parts}) == len(parts), policy
    return {name: sources for name, *sources in parts}


def expect_best_grade(headers) -> None:
    """All rules that concern one answer."""
    policy = directives(headers["Content-Security-Policy"])
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    for name in ("script-src", "style-src", "connect-src"):
        assert not set(policy[name]) & set(BROAD), name
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] in ("no-referrer", "same-origin", "strict-origin")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_the_headers_of_the_best_grade(page, path: str):
    answer = page.get(path, headers={"Accept": "text/html"}, buffered=True)
    expect_best_grade(answer.headers)
    assert answer.headers.getlist("Set-Cookie") == []


def test_so_have_answers_to_forms(page, clear_picture):
    expect_best_grade(send(page, (clear_picture, "a.png")).headers)
    expect_best_grade(page.post("/theme", data={"theme": "dark"}).headers)
    expect_best_grade(page.post("/theme", data={"theme": "none"}).headers)


@pytest.mark.parametrize("path", [path for path in PATHS if "." not in path])
def test_no_page_loads_from_elsewhere_or_has_inline_scripts_or_styles(page, path: str):
    text = page.get(path, headers={"Accept": "text/html"}).get_data(as_text=True)
    sources = re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="([^"]*)"', text)
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []
    assert re.findall(r"<style\b|\bstyle=|\bon[a-z]+=\"", text) == []
