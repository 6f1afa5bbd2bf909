"""The pages show, list and keep results."""

import re

import pytest

from tests.webapp.servers import TOKEN
from tests.webapp.ui.pages import VERDICTS, error_page, send, visible

JSON = {"Accept": "application/json"}


UNKNOWN = "0" * 32


def test_an_upload_redirects_to_its_results(page, clear_picture, opaque_picture):
    answer = send(page, (clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    assert answer.status_code == 303
    assert re.fullmatch(r"/results(\?|&)id=[0-9a-f]{32}(&id=[0-9a-f]{32}){2}", answer.location)
    text = visible(page.get(answer.location))
    for verdict in VERDICTS:
        assert text.count(verdict) == 1
    assert text.count("P(pneumonia)</dt>") == 2
    assert "tiny-linear" in text
    assert 'role="alert"' not in text
    assert text.index("a.png") < text.index("b.png") < text.index("c.png")


def test_results_are_listed(page, clear_picture, opaque_picture):
    send(page, (clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    for path in ("/predictions", "/", "/predictions?order=probability"):
        text = visible(page.get(path))
        assert all(f">{name}</a>" in text for name in ("a.png", "b.png", "c.png"))
        assert all(f'class="badge {kind}"' in text for kind in ("pneumonia", "clear", "refused"))
    text = visible(page.get("/predictions?finding=refused"))
    assert "c.png" in text
    assert "a.png" not in text


def test_the_list_says_each_finding_in_words(page, clear_picture, opaque_picture):
    send(page, (clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    for path in ("/", "/predictions"):
        text = re.sub(r"<[^>]*>", "", visible(page.get(path)))  # without attributes: what is seen without a mouse
        assert text.count("below the balanced operating point: sensitivity .90 on validation") == 1
        assert text.count("at or above the balanced operating point: specificity .90 on validation") == 1


def test_cautions_are_shown_in_the_list_and_explained_on_each_result(page, clear_picture):
    location = send(page, (clear_picture, "a.png")).location
    sentence = "The model does not state the ages of the patients that it learned from."
    for path in (location, f"/predictions/{location[-32:]}"):
        assert f"<li>{sentence}</li>" in visible(page.get(path))
    for path in ("/", "/predictions"):
        assert f'title="{sentence}"><span aria-hidden="true">!</span> training ages unknown</li>' in visible(
            page.get(path)
        )
    refused = send(page, (b"broken", "c.png")).location
    assert 'class="cautions"' not in visible(page.get(refused))


def test_a_result_has_a_page_with_picture_and_heat_map(page, opaque_picture):
    location = send(page, (opaque_picture, "b.png")).location
    identifier = location[-32:]
    text = visible(page.get(f"/predictions/{identifier}"))
    assert "Signs of pneumonia found by the model" in text
    assert "Threshold" in text
    assert "not a diagnosis" in text
    assert "Show heat map" in text and not re.search(r"<img[^>]*heatmap\.png", text)
    assert re.search(r'<img[^>]*image\.png"[^>]* width="\d+" height="\d+"', text)
    text = visible(page.get(f"/predictions/{identifier}?heatmap=1"))
    assert re.search(r"<img[^>]*heatmap\.png", text) and "Red: covering this part lowers" in text
    assert "not at where a disease is" in text
    for name in ("image.png", "heatmap.png"):
        picture = page.get(f"/predictions/{identifier}/{name}")
        assert picture.data.startswith(b"\x89PNG")
        assert picture.headers["Cache-Control"] == "no-store"


def test_programs_get_json(page, clear_picture):
    """The health check of `pneumoctl up` uses them."""
    sent = send(page, (clear_picture, "a.png"), headers=JSON)
    assert sent.status_code == 201
    (document,) = sent.get_json()["predictions"]
    assert page.get(f"/predictions/{document['id']}", headers=JSON).get_json() == document
    assert page.get("/predictions", headers=JSON).get_json()["predictions"] == [document]
    assert "Accept" in sent.headers["Vary"]
    missing = page.get(f"/predictions/{UNKNOWN}", headers=JSON)
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")


def test_feedback_is_stored_and_shown_as_text(page, clear_picture):
    identifier = send(page, (clear_picture, "a.png")).location[-32:]
    path = f"/predictions/{identifier}/feedback"
    answer = page.post(path, data={"label": "unsure", "comment": "<b>dark</b>"})
    assert answer.status_code == 303
    assert re.fullmatch(rf"/predictions/{identifier}\?saved=[0-9a-f]{{32}}#saved", answer.location)
    text = visible(page.get(f"/predictions/{identifier}"))
    assert "&lt;b&gt;dark&lt;/b&gt;" in text
    error_page(page.post(path, data={"label": "healed"}), 400)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.png", '" onload="alert(1).png', "{{7*7}}.png"])
def test_a_hostile_name_is_shown_as_text(page, clear_picture, name):
    location = send(page, (clear_picture, name)).location
    for path in (location, "/predictions", f"/predictions/{location[-32:]}"):
        text = visible(page.get(path))
        assert "<img src=x" not in text
        assert '" onload="' not in text
        assert "49.png" not in text
        assert "onerror" not in location


def test_pages_link_to_the_next_page(page, clear_picture, monkeypatch):
    monkeypatch.setattr("webapp.ui.views._ROWS", 2)
    for number in range(5):
        send(page, (clear_picture, f"n{number}.png"))
    names, path = [], "/predictions?finding=no+pneumonia"
    while path:
        text = visible(page.get(path))
        names += re.findall(r">(n\d\.png)</a>", text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following and following[1].replace("&amp;", "&")
    assert names == [f"n{number}.png" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?id=x",
        "?id=" + "0" * 33,
        "?id=" + UNKNOWN + "%0a",
        "?id=" + "&id=".join(["0" * 31 + c for c in "abcdef"] * 4),
    ],
)
def test_results_without_valid_ids_are_an_error(page, query):
    error_page(page.get(f"/results{query}"), 404 if query.count("id=") > 6 else 400)


def test_an_upload_without_a_file_is_an_error(page):
    error_page(send(page), 400)
    error_page(send(page, (b"", "")), 400)
    assert send(page, headers=JSON).status_code == 400


def test_unknown_urls_are_not_found(page):
    error_page(page.get("/nothing"), 404)
    error_page(page.get("/predictions/../../etc/passwd"), 404)
    refused = page.delete("/predictions")
    error_page(refused, 405)
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_liveness_readiness_and_metrics(page, page_of_fake_api, fake_api):
    assert page.get("/livez").get_json() == {"status": "alive"}
    assert page.get("/readyz").status_code == 200
    fake_api.status, fake_api.body = 503, b"{}"
    assert page_of_fake_api.get("/readyz").status_code == 503
    assert page_of_fake_api.get("/livez").status_code == 200


def test_the_token_never_reaches_the_browser(page, clear_picture):
    answer = send(page, (clear_picture, "a.png"))
    for path in ("/", "/predictions", answer.location):
        shown = page.get(path)
        assert TOKEN not in shown.get_data(as_text=True) + str(shown.headers)
