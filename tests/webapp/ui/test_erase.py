"""A result is erased from its page: asked first, by a form, and not by another site."""

import re

from tests.webapp.ui.pages import assert_no_finding, error_page, send, visible


def test_a_result_is_erased_after_a_question(page, clear_picture, opaque_picture, redis_server):
    kept = send(page, (clear_picture, "a.png")).location[-32:]
    gone = send(page, (opaque_picture, "<b>.png")).location[-32:]
    link = re.search(r'href="([^"]*)">Erase this result', visible(page.get(f"/predictions/{gone}"))).group(1)
    question = page.get(link)
    text = visible(question)
    assert question.status_code == 200
    assert "&lt;b&gt;.png" in text and gone in text and "This cannot be undone." in text
    assert_no_finding(text)
    assert page.get(f"/predictions/{gone}").status_code == 200  # the question alone erases nothing
    (action,) = re.findall(r'<form method="post" action="([^"]*)"', text)
    answer = page.post(action)
    assert answer.status_code == 303
    done = page.get(answer.location)
    assert done.status_code == 200 and "The result was erased" in visible(done)
    assert_no_finding(visible(done))
    assert gone in visible(done)
    for part in ("", "/image.png", "/heatmap.png", "/erase", "?heatmap=1"):
        assert "This result was erased" in error_page(page.get(f"/predictions/{gone}{part}"), 404)
    assert gone not in visible(page.get("/predictions")) and kept in visible(page.get("/predictions"))
    assert page.post(action).status_code == 303  # as by a second click


def test_a_damaged_result_can_be_erased(page, clear_picture, redis_server):
    identifier = send(page, (clear_picture, "a.png")).location[-32:]
    redis_server.client().append(f"pneumo:1:record:{identifier}", b" ")
    (link,) = re.findall(r'href="([^"]*/erase[^"]*)"', visible(page.get("/predictions?review=unread")))
    assert link.endswith("/erase?review=unread")
    text = visible(page.get(link))
    assert identifier in text and "a.png" not in text
    assert "Error: the result cannot be shown. The assessment service failed: The record is damaged" in text
    assert page.post(f"/predictions/{identifier}/erase").status_code == 303
    assert identifier not in visible(page.get("/predictions"))


def test_nobody_is_asked_about_a_result_that_the_api_says_nothing_of(page_of_fake_api, fake_api):
    for fake_api.drop, fake_api.status, fake_api.body in ((True, 200, b""), (False, 200, b"{}"), (False, 502, b"<p>")):
        text = error_page(page_of_fake_api.get(f"/predictions/{'0' * 32}/erase"), 502)
        assert "Erase for good" not in text


def test_only_what_is_not_stored_is_said_to_be_erased(page, clear_picture):
    location = send(page, (clear_picture, "a.png")).location
    answer = page.get(f"/erased?id={location[-32:]}&q=a")
    assert (answer.status_code, answer.location) == (303, f"/predictions/{location[-32:]}?q=a")
    for query in ("", "?id=", "?id=x"):
        assert "was erased" not in error_page(page.get(f"/erased{query}"), 400)


def test_an_unknown_result_is_not_found(page):
    for answer in (page.get(f"/predictions/{'0' * 32}/erase"), page.post(f"/predictions/{'0' * 32}/erase")):
        assert "There is no result with that id." in error_page(answer, 404)


def test_no_other_site_can_erase(page, clear_picture):
    identifier = send(page, (clear_picture, "a.png")).location[-32:]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        assert page.post(f"/predictions/{identifier}/erase", headers=headers).status_code == 403
    assert page.get(f"/predictions/{identifier}").status_code == 200
