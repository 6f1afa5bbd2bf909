"""The list on the page: search, filters, counts, reviews, pictures, and the way from one result to the next."""

import json
import re
from unittest.mock import Mock

import pytest

from tests.predictions import FINDING
from tests.webapp.ui.pages import assert_no_finding, error_page, send, visible
from tests.webapp.ui.test_responses import ENTRY, PAGE
from webapp.api.storage.errors import NotRead, StoreUnavailable

UNKNOWN = "0" * 32


def names(answer) -> list[str]:
    """The file names of a list, in its order."""
    return re.findall(r'class="file" title="[^"]*" href="[^"]*">([^<]*)</a>', visible(answer))


def link(answer, words: str) -> str | None:
    """The address behind a link with these words."""
    found = re.search(rf'href="([^"]*)">{words}</a>', visible(answer))
    return found and found[1].replace("&amp;", "&")


@pytest.fixture
def ids(page, clear_picture, opaque_picture) -> dict[str, str]:
    """Five results, newest last, of which one was reviewed against the model; their ids by file name."""
    files = [("a 1.png", clear_picture), ("b 1.png", opaque_picture), ("c.png", b"broken"), ("d 2.png", opaque_picture)]
    found = {name: send(page, (content, name)).location[-32:] for name, content in files}
    page.post(f"/predictions/{found['d 2.png']}/feedback", data={"label": "no pneumonia"})
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["d 2.png", "c.png", "b 1.png", "a 1.png"]),
        ("q=&finding=all&refusal=&model=&from=&to=&review=all&order=time", ["d 2.png", "c.png", "b 1.png", "a 1.png"]),
        ("q=1+PNG", ["b 1.png", "a 1.png"]),
        ("finding=pneumonia", ["d 2.png", "b 1.png"]),
        ("refusal=unreadable", ["c.png"]),
        ("refusal=too_small", []),
        ("review=unread&q=png", ["c.png", "b 1.png", "a 1.png"]),
        ("review=reviewed", ["d 2.png"]),
        ("review=disagreement", ["d 2.png"]),
        ("to=2020-12-31", []),
        ("from=2020-12-31&order=probability&finding=no+pneumonia", ["a 1.png"]),
        ("model=another", []),
    ],
)
def test_the_list_has_what_its_filters_say_and_tells_how_many(page, ids, query, expected):
    answer = page.get(f"/predictions?{query}")
    assert names(answer) == expected
    text = visible(answer)
    assert f"<strong>{len(expected)}</strong> result" in text
    assert ("No results with these filters" in text) == (not expected)


@pytest.mark.parametrize("word", ["all", "time", "unread"])
def test_a_search_for_a_word_that_elsewhere_means_everything_is_a_search(page, clear_picture, word):
    for name in ("ball times unread.png", "other.png"):
        send(page, (clear_picture, name))
    answer = page.get(f"/predictions?q={word}")
    assert names(answer) == ["ball times unread.png"]
    assert f'name="q" value="{word}"' in visible(answer)
    assert names(page.get(f"/predictions?model={word}")) == []


def test_a_list_on_paper_says_how_it_was_filtered(page, ids):
    text = visible(page.get("/predictions?q=png&review=unread"))
    assert '<p class="on-paper">unread, “png” in the file name; newest first</p>' in text
    with page.get("/static/style.css") as answer:
        style = answer.get_data(as_text=True)
    screen, _, paper = style.partition("@media print")
    assert ".on-paper { display: none; }" in screen and ".on-paper { display: block; }" in paper


def test_the_form_keeps_what_was_chosen(page, ids):
    text = visible(page.get("/predictions?q=%22x%22&review=unread&from=2026-01-31&model=v9"))
    assert 'value="&#34;x&#34;"' in text and 'value="2026-01-31"' in text
    assert '<option value="unread" selected>' in text and '<option value="v9" selected>' in text


@pytest.mark.parametrize(
    "query",
    [
        "finding=x",
        "order=x",
        "review=x",
        "refusal=x",
        "q=" + "x" * 121,
        "q=" + "x+" * 9,
        "from=x",
        "to=20260101",
        "from=2026-02-01&to=2026-01-31",
        "cursor=x",
    ],
)
def test_a_list_that_does_not_exist_is_an_error(page, query):
    error_page(page.get(f"/predictions?{query}"), 400)
    if not query.startswith("cursor"):
        error_page(page.get(f"/predictions/{UNKNOWN}?{query}"), 400)


def test_reviews_are_told_in_words(page, ids):
    text = visible(page.get("/predictions"))
    assert text.count("Unread") == 3 and text.count('<tr class="new"') == 3
    assert '<span class="review disagrees" title="contradicts the model">' in text
    assert re.search(r"≠</span> no pneumonia<span class=\"sr\">, contradicts the model", text)
    page.post(f"/predictions/{ids['a 1.png']}/feedback", data={"label": "unsure"})
    assert "✓</span> unsure" in visible(page.get("/predictions"))


def test_a_damaged_review_is_an_error_in_the_list_and_beside_the_others(page, ids, redis_server):
    path = f"/predictions/{ids['d 2.png']}"
    page.post(f"{path}/feedback", data={"label": "unsure", "comment": "the other"})
    assert "damaged" not in visible(page.get(path))
    key, client = f"pneumo:1:feedback:{ids['d 2.png']}", redis_server.client()
    client.lset(key, 0, client.lindex(key, 0) + b"x")
    assert visible(page.get("/predictions")).count("Error: a review is damaged") == 1
    text = visible(page.get(path))
    assert "Error: 1 review is damaged and cannot be shown." in text and "the other" in text


def test_a_row_has_a_small_picture_or_says_that_there_is_none(page, ids):
    text = visible(page.get("/predictions"))
    pictures = re.findall(
        r'<img class="thumbnail" src="([^"]*)" alt="not loaded" width="40" height="40" loading="lazy"', text
    )
    assert len(pictures) == 3 and text.count('<span class="thumbnail">no picture</span>') == 1
    answer = page.get(pictures[0])
    assert (answer.mimetype, answer.headers["Cache-Control"]) == ("image/png", "private, max-age=600")
    assert len(answer.data) < 8000
    missing = page.get(f"/predictions/{ids['c.png']}/thumbnail.png")
    assert (missing.status_code, missing.headers["Cache-Control"]) == (404, "no-store")


def test_from_one_result_to_the_next_in_the_order_of_the_list(page, ids):
    listed = page.get("/predictions?finding=pneumonia&q=png&order=probability")
    order = names(listed)
    answer = page.get(re.search(r'class="file" title="[^"]*" href="([^"]*)"', visible(listed))[1].replace("&amp;", "&"))
    assert "<strong>1</strong> of 2" in visible(answer)
    assert (link(answer, "Previous"), link(answer, "First")) == (None, None)
    for words in ("First", "Previous"):  # also a screen reader says that they lead nowhere
        assert f'<a class="button off" role="link" aria-disabled="true">{words}</a>' in visible(answer)
    assert "signs of pneumonia, “png” in the file name; most suspicious first" in visible(answer)
    answer = page.get(link(answer, "Next"))
    assert f'<h1 class="file">{order[1]}</h1>' in visible(answer)
    assert "<strong>2</strong> of 2" in visible(answer) and link(answer, "Next") is None
    assert link(answer, "First") == link(answer, "Previous")
    assert names(page.get(link(answer, "List"))) == order


def test_a_review_keeps_the_place_in_a_list_that_no_longer_has_the_result(page, ids):
    path = f"/predictions/{ids['b 1.png']}"
    answer = page.post(f"{path}/feedback?review=unread", data={"label": "pneumonia"})
    assert re.fullmatch(rf"{path}\?review=unread&saved=[0-9a-f]{{32}}#saved", answer.location)
    answer = page.get(answer.location)
    assert "not in this list, which has 2" in visible(answer)
    assert link(answer, "Next").startswith(f"/predictions/{ids['a 1.png']}?review=unread")
    assert link(answer, "Previous").startswith(f"/predictions/{ids['c.png']}?review=unread")


def test_a_later_page_whose_results_were_erased_meanwhile_is_not_an_empty_list(page_of_fake_api, fake_api):
    empty = PAGE | {"predictions": [], "entries": [], "damaged": [], "next": None, "first": None}
    fake_api.body = json.dumps(empty | {"total": 50}).encode()
    for query, first in (("cursor=c", True), ("cursor=c&q=a", True), ("", False)):
        text = visible(page_of_fake_api.get(f"/predictions?{query}"))
        assert "No results on this page." in text and ("First page" in text) == first


def test_from_an_error_a_way_leads_back_to_the_list_and_to_the_result(page, ids):
    here, query = f"/predictions/{ids['b 1.png']}", "order=probability&q=png"
    text = error_page(page.post(f"{here}/feedback?{query}", data={"label": "healthy"}), 400)
    assert f'href="{here}?order=probability&amp;q=png">Go back to the result and try again</a>' in text
    assert "Choose files" not in text
    page.post(f"{here}/erase")
    for path in (here, f"{here}/erase"):
        answer = page.get(f"{path}?{query}")
        error_page(answer, 404)
        assert link(answer, "Back to the list") == f"/predictions?{query}"
    assert "Back to the list" not in error_page(page.get("/predictions?order=x"), 400)
    assert link(page.get(f"/predictions/{UNKNOWN}?order=x&_scheme=evil"), "Back to the list") == "/predictions"


def test_without_its_place_a_result_is_shown_and_the_reason_told(page, ids, monkeypatch):
    for error, role, words in (
        (NotRead(1, 2), "status", "Place in the list: not known yet. The list is being read: 1 of 2 results so far"),
        (StoreUnavailable("x"), "alert", "Error: the place in the list is not known."),
    ):
        monkeypatch.setattr("webapp.api.storage.worklist.Worklist.rows", Mock(side_effect=error))
        text = visible(page.get(f"/predictions/{ids['b 1.png']}"))
        assert re.search(rf'class="where[ a-z]*" role="{role}">{words}', text)
        assert text.count("Error") == (role == "alert")
        assert "Signs of pneumonia found by the model" in text


def test_a_list_that_is_not_read_yet_says_so_and_asks_again(page, ids, monkeypatch):
    monkeypatch.setattr("webapp.api.storage.worklist.Worklist.rows", Mock(side_effect=NotRead(1, 2)))
    answer = page.get("/predictions?q=png&order=probability")
    text = visible(answer)
    assert (answer.status_code, answer.headers["Refresh"]) == (503, answer.headers["Retry-After"])
    assert "The list is being read: 1 of 2 results so far" in text and "alert" not in text and "No results" not in text
    assert link(answer, "Ask again now") == "/predictions?q=png&order=probability"
    assert_no_finding(text)
    program = page.get("/predictions?q=png", headers={"Accept": "application/json"})
    assert program.status_code == 503 and "Refresh" not in program.headers
    assert "is being read" in program.get_json()["detail"]


@pytest.mark.parametrize(
    ("query", "words", "back", "address"),
    [
        ("finding=healthy", "Its address names a finding that does not exist", "All results", "/predictions"),
        ("review=x&cursor=y", "Its address names a state of review that", "All results", "/predictions"),
        ("refusal=dull", "Its address names a reason of a refusal that", "All results", "/predictions"),
        ("to=2026-02-30", "The last day in its address is no day of the calendar", "All results", "/predictions"),
        ("q=png&cursor=y", "Its address is of another list, or was cut off", "The first page", "/predictions?q=png"),
    ],
)
def test_an_address_of_no_list_is_told_in_plain_words(page, query, words, back, address):
    answer = page.get(f"/predictions?{query}")
    assert words in error_page(answer, 400)
    assert link(answer, back) == address


def test_whoever_erases_a_result_comes_back_to_the_list(page, ids):
    here = f"/predictions/{ids['b 1.png']}"
    answer = page.get(f"{here}?q=png&order=probability")
    answer = page.get(link(answer, "Erase this result"))
    assert link(answer, "Keep it") == f"{here}?order=probability&q=png"
    action = re.search(r'action="([^"]*/erase[^"]*)"', visible(answer))[1].replace("&amp;", "&")
    answer = page.get(page.post(action).location)
    assert link(answer, "Back to the list") == "/predictions?order=probability&q=png"


def test_an_api_of_an_earlier_version_is_asked_for_no_filter(page_of_fake_api, fake_api):
    """It would answer with the whole list."""
    earlier = {"predictions": [FINDING], "damaged": [], "next": None, "total": 1}
    fake_api.body = json.dumps(earlier).encode()
    assert names(page_of_fake_api.get("/predictions?finding=pneumonia")) == ["a.png"]
    error_page(page_of_fake_api.get("/predictions?review=unread"), 502)
    fake_api.body = json.dumps(PAGE | {"entries": [ENTRY, ENTRY]}).encode()
    error_page(page_of_fake_api.get("/predictions"), 502)


def test_the_file_name_that_is_searched_for_is_in_no_log(page, ids, caplog):
    caplog.set_level("INFO", "webapp")
    page.get("/predictions?q=Meier")
    page.get(f"/predictions/{ids['b 1.png']}?q=Meier")
    assert not [record for record in caplog.records if record.name.startswith("webapp") and "Meier" in str(record)]
