"""The page rejects other sites, other host names, frames and foreign scripts."""

import re

import pytest

from tests.webapp.ui.conftest import page_for
from tests.webapp.ui.pages import send
from webapp import ui
from webapp.environment import EnvironmentInvalid

ORIGIN = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:81"},
        {"Origin": ""},
    ],
)
def test_cross_site_posts_are_rejected_before_the_body_is_read(page_of_fake_api, fake_api, headers):
    for path in ("/predictions", "/predictions/" + "0" * 32 + "/feedback"):
        assert page_of_fake_api.post(path, headers=headers).status_code == 403
    assert send(page_of_fake_api, (b"x", "a.png"), headers=headers).status_code == 403
    assert fake_api.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
    ],
)
def test_same_origin_posts_are_accepted(page, clear_picture, headers):
    assert send(page, (clear_picture, "a.png"), headers=headers).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2", "evil.example:80", ""])
def test_other_host_names_are_rejected(page, host):
    for method in (page.get, page.post):
        answer = method("/", headers={"Host": host, "Accept": "text/html"})
        assert answer.status_code == 400
        assert "html" not in answer.mimetype
        assert answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "xray.example"])
def test_trusted_host_names_are_served(api_url, host):
    page = page_for(api_url, TRUSTED_HOSTS="127.0.0.1,localhost,xray.example")
    assert page.get("/", headers={"Host": host}).status_code == 200


def test_every_response_has_security_headers(page):
    for path in ("/", "/predictions", "/nothing", "/static/style.css", "/livez"):
        with page.get(path) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Set-Cookie" not in headers
        assert ("no-store" in headers["Cache-Control"]) == (not path.startswith("/static/"))


def test_pages_use_no_inline_and_no_external_resources(page, clear_picture):
    location = send(page, (clear_picture, "a.png")).location
    for path in ("/", "/predictions", location, f"/predictions/{location[-32:]}?heatmap=1", "/nothing"):
        text = page.get(path).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
            assert address.startswith("/") or address == "#main"
            assert not address.startswith("//")


@pytest.mark.parametrize("query", ["_scheme=javascript&_external=1", "_anchor=x", "endpoint=static", "_method=POST"])
def test_the_retry_link_repeats_only_our_own_parameters(page_of_fake_api, fake_api, query):
    fake_api.status = 503
    text = page_of_fake_api.get(f"/predictions?order=time&{query}").get_data(as_text=True)
    assert 'href="/predictions?order=time"' in text


@pytest.mark.parametrize("name", ["API_URL", "API_TOKEN"])
def test_a_missing_setting_is_named_at_start(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    config = {"API_URL": ORIGIN, "API_TOKEN": "a-token-of-tests-only"}
    with pytest.raises(EnvironmentInvalid, match=name):
        ui.create_app({key: value for key, value in config.items() if key != name})
