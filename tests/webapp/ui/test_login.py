"""With AUTH=users: log in and out, what is kept when a session has ended, and where nobody is sent."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.webapp.api.accounts_api import PASSWORD
from tests.webapp.servers import ui_environment
from tests.webapp.ui.pages import assert_no_finding, send, visible
from tests.webapp.ui.users import SCRIPT, UsersPage, hidden, log_in
from webapp import ui
from webapp.api.accounts.attempts import PER_NAME

UNKNOWN = "0" * 32


def end_sessions(browser) -> None:
    """Have the sessions of a browser's user end, as by the idle limit; the browser keeps its cookie."""
    cookie = browser.get_cookie("session").value
    assert browser.post("/account/sessions/end").status_code == 303
    browser.set_cookie("session", cookie)


def test_every_page_asks_for_a_login_and_comes_back_to_where_it_was(users, result):
    browser = users.browser()
    users.user("alice", "reader")
    for path in ("/", "/predictions?finding=pneumonia&q=a", result, f"{result}/erase", "/account", "/predictions.csv"):
        answer = browser.get(path)
        assert answer.status_code == 303
        asked = urlsplit(answer.headers["Location"])
        assert (asked.path, parse_qs(asked.query)["next"]) == ("/login", [path])
    login = browser.get(browser.get(result).headers["Location"])
    assert hidden(login)["next"] == result
    answer = log_in(browser, "alice", next=hidden(login)["next"])
    assert (answer.status_code, answer.headers["Location"]) == (303, result)
    assert browser.get(result).status_code == 200


def test_what_needs_no_login(users):
    browser = users.browser()
    for path in ("/livez", "/readyz", "/metrics", "/static/style.css", "/login", "/set-password?link=x"):
        with browser.get(path) as answer:
            assert answer.status_code == 200
    assert browser.get("/nowhere").status_code == 404


def test_nginx_can_ask_whether_somebody_has_logged_in(users):
    browser = users.browser()
    assert browser.get("/logged-in").status_code == 401
    browser.set_cookie("session", "a" * 43)
    assert browser.get("/logged-in").status_code == 401
    known = users.user("alice", "reader")
    answer = known.get("/logged-in")
    assert (answer.status_code, answer.get_data()) == (204, b"")
    end_sessions(known)
    assert known.get("/logged-in").status_code == 401
    program = users.api.with_token("predict").headers
    for token, status in ((program["Authorization"], 204), ("Bearer pneumo_1_x", 401)):
        assert users.browser().get("/logged-in", headers={"Authorization": token}).status_code == status


def test_nobody_has_logged_in_while_the_api_does_not_answer():
    page = ui.create_app({**ui_environment("http://127.0.0.1:9"), "AUTH": "users"}).test_client()
    page.set_cookie("session", "a" * 43)
    assert page.get("/logged-in").status_code == 503
    assert page.get("/logged-in", headers={"Authorization": "Bearer pneumo_1_x"}).status_code == 503


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb", "\\\\evil", "x"],
)
def test_nobody_is_sent_elsewhere_after_the_login(users, elsewhere):
    browser = users.browser()
    users.user("alice", "reader")
    assert hidden(browser.get("/login", query_string={"next": elsewhere}))["next"] == ""
    assert log_in(browser, "alice", next=elsewhere).headers["Location"] == "/"


def test_scripts_and_programs_get_an_error_instead_of_the_login_page(users, clear_picture):
    browser = users.browser()
    answer = browser.get("/predictions", headers=SCRIPT)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.get_json()["title"] == "Please log in"
    sent = send(browser, (clear_picture, "a.png"), headers=SCRIPT)
    assert (sent.status_code, sent.mimetype) == (401, "application/problem+json")
    picture = browser.get(f"/predictions/{UNKNOWN}/image.png", headers={"Sec-Fetch-Mode": "no-cors"})
    assert picture.status_code == 401
    assert_no_finding(visible(picture))
    assert users.api.operator.get("/v1/predictions").get_json()["total"] == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(users, scheme):
    browser = users.browser()
    users.user("alice", "reader")
    headers = {"X-Forwarded-Proto": scheme}
    answer = browser.post("/login", data={"name": "alice", "password": PASSWORD}, headers=headers)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    attributes = cookie.split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} < set(attributes)
    assert not any(each.startswith(("Domain", "Expires", "Max-Age")) for each in attributes)
    secure = scheme == "https"
    assert attributes[0].startswith("__Host-session=" if secure else "session=")
    assert ("Secure" in attributes) == secure


def test_a_login_begins_a_new_session_and_ends_the_one_of_before(users):
    browser = users.user("alice", "reader")
    before = browser.get_cookie("session").value
    log_in(browser, "alice")
    after = browser.get_cookie("session").value
    assert before != after
    browser.set_cookie("session", before)
    assert browser.get("/").status_code == 303


def test_a_session_that_the_browser_was_given_by_others_is_not_taken_over(users):
    browser = users.browser()
    users.user("alice", "reader")
    browser.set_cookie("session", "a" * 43)
    log_in(browser, "alice")
    assert browser.get_cookie("session").value != "a" * 43
    browser.set_cookie("session", "a" * 43)
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("cookie", ["", "none", "x", "é" * 30, "a" * 300, "a b\tc"])
def test_a_cookie_that_is_no_session_is_none(users, cookie):
    browser = users.browser()
    browser.set_cookie("session", cookie)
    assert browser.get("/").status_code == 303


def test_a_wrong_login_is_told_without_a_reason_and_limited(users):
    browser = users.browser()
    users.user("alice", "reader")
    for name, password in (("alice", "not this one"), ("nobody", PASSWORD)):
        answer = log_in(browser, name, password)
        assert answer.status_code == 401
        assert "The name, the password or the code is wrong." in visible(answer)
        assert password not in visible(answer)
    for number in range(PER_NAME):
        log_in(browser, "Alice ", f"wrong {number}")
    answer = log_in(browser, "alice")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 800
    assert "Too many logins" in visible(answer)
    assert browser.get_cookie("session") is None


def test_the_limit_counts_by_the_address_that_nginx_tells(users):
    users.user("alice", "reader")
    browser = users.browser()
    for number in range(101):
        headers = {"X-Real-IP": "192.0.2.7", "X-Forwarded-For": "a lie"}
        answer = browser.post("/login", data={"name": f"user{number}", "password": "x"}, headers=headers)
    assert answer.status_code == 429
    assert log_in(browser, "alice").status_code == 303


def test_logging_out_ends_the_session_and_has_the_browser_forget(users):
    browser = users.user("alice", "reader")
    session = browser.get_cookie("session").value
    answer = browser.post("/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert browser.get_cookie("session") is None
    browser.set_cookie("session", session)
    assert browser.get("/").status_code == 303


def test_a_review_that_was_sent_without_a_session_is_kept_and_can_be_sent_again(users, result):
    browser = users.user("alice", "reviewer")
    end_sessions(browser)
    review = {"label": "unsure", "comment": 'two "lines"\nof <words>'}
    answer = browser.post(f"{result}/feedback?finding=all", data=review)
    assert answer.status_code == 401
    assert "Your session has ended" in visible(answer)
    assert "What you sent was not saved" in visible(answer)
    fields = hidden(answer)
    assert fields == {
        "next": result,
        "action": f"{result}/feedback",
        "kept.label": "unsure",
        "kept.comment": review["comment"],
    }
    wrong = log_in(browser, "alice", "wrong", **fields)
    assert hidden(wrong) == fields
    again = log_in(browser, "alice", **fields)
    assert again.status_code == 200
    assert "it was not saved" in visible(again)
    assert "logged in as <strong>alice</strong>" in visible(again)
    assert users.api.operator.get(f"/v1{result}/feedback").get_json()["feedback"] == []
    kept = hidden(again)
    assert kept == review
    assert browser.post(f"{result}/feedback", data=kept).status_code == 303
    (saved,) = users.api.operator.get(f"/v1{result}/feedback").get_json()["feedback"]
    assert (saved["label"], saved["comment"]) == ("unsure", review["comment"])


def test_an_erasure_without_a_session_is_not_kept_in_part(users):
    browser = users.user("ada", "admin")
    end_sessions(browser)
    answer = browser.post("/studies/ABCDEFGHIJKL/erase", data={"id": ["0" * 32, "1" * 32]})
    assert answer.status_code == 401
    assert "Nothing was sent on and nothing was saved" in visible(answer)
    assert set(hidden(answer)) == {"next"}


def test_an_upload_without_a_session_says_that_nothing_was_sent_on(users, clear_picture):
    browser = users.user("alice", "reviewer")
    end_sessions(browser)
    answer = send(browser, (clear_picture, "a.png"))
    assert answer.status_code == 401
    assert "Nothing was sent on and nothing was saved" in visible(answer)
    assert_no_finding(visible(answer))
    assert users.api.operator.get("/v1/predictions").get_json()["total"] == 0


def test_an_erasure_of_a_study_without_a_session_is_confirmed_anew(users, result):
    """Of its fields, one film each, a part would be kept, and a part of the study be erased."""
    browser = users.user("alice", "admin")
    end_sessions(browser)
    answer = browser.post("/studies/ABCDEFGHIJKL/erase", data={"id": ["a" * 32, result[-32:]]})
    assert answer.status_code == 401
    assert "nothing was saved" in visible(answer)
    assert hidden(answer) == {"next": "/studies/ABCDEFGHIJKL/erase"}


def test_who_tries_a_received_film_again_without_a_session_comes_back_to_these_films(users):
    browser = users.user("alice", "admin")
    end_sessions(browser)
    answer = browser.post(f"/received/{'a' * 32}/retry")
    assert answer.status_code == 401
    assert hidden(answer) == {"next": "/received"}


def test_no_password_is_kept_in_the_login_page(users):
    browser = users.user("alice", "reviewer")
    end_sessions(browser)
    answer = browser.post("/account/password", data={"password": PASSWORD, "new": "x" * 12, "repeated": "x" * 12})
    assert answer.status_code == 401
    assert PASSWORD not in visible(answer)
    assert set(hidden(answer)) == {"next"}


def test_a_link_sets_the_password_once(users):
    browser, link = users.browser(), users.api.invite("alice", "reader")
    page = browser.get("/set-password", query_string={"link": link})
    assert hidden(page)["link"] == link
    sent = {"link": link, "password": PASSWORD, "repeated": "different words"}
    for wrong, words in ((sent, "two different"), ({**sent, "password": "x", "repeated": "x"}, "12 to 128 characters")):
        answer = browser.post("/set-password", data=wrong)
        assert answer.status_code == 400
        assert words in visible(answer)
        assert "The password is not set" in visible(answer)
    assert browser.post("/set-password", data={**sent, "repeated": PASSWORD}).status_code == 303
    assert browser.get("/").status_code == 200
    again = users.browser().post("/set-password", data={**sent, "repeated": PASSWORD})
    assert again.status_code == 401
    assert "was used, has expired or was replaced" in visible(again)


def test_a_login_is_an_error_while_the_api_cannot_count_or_answer(users, fake_api):
    page = UsersPage(fake_api.url, users.api.client.application).browser()
    fake_api.status, fake_api.body = 503, b'{"detail": "Results cannot be stored", "code": "store-unavailable"}'
    answer = log_in(page, "alice")
    assert answer.status_code == 503
    assert 'role="alert"' in visible(answer)
    page.set_cookie("session", "a" * 43)
    assert page.get("/").status_code == 503
    assert page.post("/logout").status_code == 503
    assert page.get_cookie("session") is not None
    fake_api.status, fake_api.body = 201, b'{"session": "x"}'
    assert log_in(page, "alice").status_code == 502


def test_programs_use_a_token_at_the_page(users, clear_picture):
    browser = users.browser()
    headers = {"Authorization": f"Bearer {users.api.with_token('predict').headers['Authorization'][7:]}", **SCRIPT}
    assert send(browser, (clear_picture, "a.png"), headers=headers).status_code == 201
    answer = browser.get("/predictions", headers=headers)
    assert (answer.status_code, answer.get_json()["title"]) == (403, "Not allowed")
    for wrong in ("wrong", "pneumo_" + "0" * 16 + "_" + "A" * 43):
        answer = browser.get("/predictions", headers={**SCRIPT, "Authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")


def test_a_program_has_no_account(users):
    headers = {**SCRIPT, "Authorization": users.api.operator.headers["Authorization"]}
    for method, path in (("GET", "/account"), ("POST", "/account/password"), ("POST", "/logout")):
        answer = users.browser().open(path, method=method, headers=headers)
        assert (answer.status_code, answer.get_json()["title"]) == (403, "Not allowed")


def test_a_result_that_a_program_may_not_see_is_not_called_damaged(users, result):
    for scope in ("predict", "export"):
        token = users.api.with_token(scope).headers["Authorization"]
        answer = users.browser().get(f"{result}/erase", headers={"Authorization": token})
        assert answer.status_code == 403


def test_a_program_downloads_a_list_by_a_token_for_exports_alone(users, result):
    browser, file = users.browser(), "/predictions.csv"
    for scope, status in (("read", 403), ("predict", 403), ("export", 200)):
        token = users.api.with_token(scope).headers["Authorization"]
        answer = browser.get(file, headers={**SCRIPT, "Authorization": token})
        assert answer.status_code == status, scope
        assert ("a.png" in answer.get_data(as_text=True)) == (status == 200)


def test_without_users_there_is_no_login(page):
    assert page.get("/login").status_code == 404
    page.set_cookie("session", "a" * 43)
    answer = page.get("/", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 200
    assert "Log out" not in visible(answer)


def test_a_page_without_users_shows_no_result_of_an_api_with_users(users, result):
    sent = {**ui_environment(users.url), "API_TOKEN": "the-token-of-the-page"}
    page = ui.create_app(sent).test_client()
    for path in ("/", "/predictions", result):
        answer = page.get(path)
        assert answer.status_code == 401
        assert 'role="alert"' in visible(answer)
        assert_no_finding(visible(answer))
