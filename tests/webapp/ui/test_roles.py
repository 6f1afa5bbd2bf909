"""With AUTH=users the page offers what a role may do, and refuses the rest; and users change their own accounts."""

import pyotp
import pytest

from tests.webapp.api.accounts_api import PASSWORD
from tests.webapp.ui.pages import assert_no_finding, send, visible
from tests.webapp.ui.users import hidden, log_in
from webapp.ui import downloads

OFFERED = {  # words or addresses on the pages, and the roles that they are for
    "/": {"data-upload": {"reviewer", "admin"}, ">Assess</a>": {"reviewer", "admin"}, ">Results</a>": None},
    "/predictions": {"Download CSV": {"admin"}},
    "result": {"reviews-new": {"reviewer", "admin"}, "Erase this result": {"admin"}},
}


@pytest.mark.parametrize("role", ["reader", "reviewer", "admin"])
def test_what_a_role_may_not_do_is_not_offered(users, result, role):
    browser = users.user("somebody", role)
    for path, offers in OFFERED.items():
        answer = browser.get(result if path == "result" else path)
        assert answer.status_code == 200
        for words, roles in offers.items():
            assert (words in visible(answer)) == (roles is None or role in roles), (path, words)


@pytest.mark.parametrize("role", ["reader", "reviewer"])
def test_what_a_role_may_not_do_is_refused(users, result, clear_picture, role):
    browser = users.user("somebody", role)
    refused = [browser.get(f"{result}/erase"), browser.post(f"{result}/erase"), browser.get("/predictions.csv")]
    if role == "reader":
        refused += [
            browser.post(f"{result}/feedback", data={"label": "unsure"}),
            send(browser, (clear_picture, "b.png")),
        ]
    for answer in refused:
        assert answer.status_code == 403
        assert f"A {role} may not do this" in visible(answer)
        assert_no_finding(visible(answer))
    stored = users.api.operator.get("/v1/predictions").get_json()
    assert (stored["total"], stored["entries"][0]["review"]) == (1, None)


def test_an_admin_erases_and_downloads(users, result, clear_picture, monkeypatch):
    browser = users.user("ada", "admin")
    monkeypatch.setattr(downloads, "_ROWS", 1)  # the second page is read after the view has returned
    users.api.operator.sent((clear_picture, "b.png"))
    rows = browser.get("/predictions.csv").get_data(as_text=True)
    assert "a.png" in rows and "b.png" in rows
    assert browser.post(f"{result}/erase").status_code == 303
    assert users.api.operator.get("/v1/predictions").get_json()["total"] == 1


def test_the_head_of_the_page_names_the_user(users):
    assert ">alice</a>" in visible(users.user("alice", "reader").get("/"))


def test_a_user_changes_the_password(users):
    browser, elsewhere = users.user("alice", "reader"), users.browser()
    log_in(elsewhere, "alice")
    new = "another long password"
    for sent, status, words in (
        ({"password": "wrong", "new": new, "repeated": new}, 401, "The password is wrong."),
        ({"password": PASSWORD, "new": new, "repeated": "x"}, 400, "two different new passwords"),
        ({"password": PASSWORD, "new": "x", "repeated": "x"}, 400, "12 to 128"),
    ):
        answer = browser.post("/account/password", data=sent)
        assert answer.status_code == status
        assert words in visible(answer)
    answer = browser.post("/account/password", data={"password": PASSWORD, "new": new, "repeated": new})
    assert answer.headers["Location"] == "/account?done=password"
    assert "Your password is changed" in visible(browser.get("/account?done=password"))
    assert elsewhere.get("/").status_code == 303
    assert log_in(elsewhere, "alice", new).status_code == 303


def test_a_user_turns_codes_on_and_off(users):
    browser = users.user("alice", "reader")
    assert browser.post("/account/codes", data={"password": "wrong"}).status_code == 401
    shown = hidden(browser.post("/account/codes", data={"password": PASSWORD}))
    wrong = browser.post("/account/codes/confirmation", data={**shown, "code": "000000"})
    assert wrong.status_code == 401
    assert hidden(wrong) == shown
    code = pyotp.TOTP(shown["secret"]).now()
    assert browser.post("/account/codes/confirmation", data={**shown, "code": code}).status_code == 303
    assert "Turn codes off" in visible(browser.get("/account"))
    assert log_in(users.browser(), "alice").status_code == 401
    assert browser.post("/account/codes/end", data={"password": PASSWORD}).status_code == 303
    assert log_in(users.browser(), "alice").status_code == 303


def test_a_user_logs_out_everywhere(users):
    browser, elsewhere = users.user("alice", "reader"), users.browser()
    log_in(elsewhere, "alice")
    assert browser.post("/account/sessions/end").status_code == 303
    assert elsewhere.get("/").status_code == 303
    assert browser.get("/").status_code == 303
