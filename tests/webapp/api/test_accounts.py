"""Users, sessions and tokens through the API: who may do what, and what is said when somebody may not."""

import re

import pyotp
import pytest

from tests.webapp.api.accounts_api import PASSWORD, AccountsApi, post
from tests.webapp.api.test_openapi import check
from tests.webapp.conftest import Caller
from tests.webapp.servers import TOKEN
from webapp import api
from webapp.account_documents import ROLES, TOKEN_SCOPES
from webapp.api import permissions
from webapp.api.accounts.attempts import PER_NAME
from webapp.api.accounts.sessions import Sessions
from webapp.api.identity import acting

UNKNOWN = "0" * 32
ROUTES = {  # what each route of results needs
    ("GET", "/v1/predictions"): "read",
    ("GET", f"/v1/predictions/{UNKNOWN}"): "read",
    ("GET", f"/v1/predictions/{UNKNOWN}/image.png"): "read",
    ("POST", "/v1/predictions"): "predict",
    ("POST", "/v1/predictions/find"): "predict",
    ("POST", f"/v1/predictions/{UNKNOWN}/feedback"): "review",
    ("POST", f"/v1/predictions/{UNKNOWN}/feedback/{UNKNOWN}/withdrawal"): "review",
    ("DELETE", f"/v1/predictions/{UNKNOWN}"): "erase",
    ("GET", "/v1/users"): "accounts",
    ("POST", "/v1/users"): "accounts",
    ("GET", "/v1/tokens"): "accounts",
    ("POST", "/v1/tokens"): "accounts",
}
MAY = {"reader": {"read"}, "reviewer": {"read", "predict", "review"}}
MAY["admin"] = {"read", "predict", "review", "erase", "accounts"}


@pytest.fixture
def app(config):
    return api.create_app({**config, "AUTH": "users"})


@pytest.fixture
def with_users(app) -> AccountsApi:
    return AccountsApi(app.test_client())


def codes(caller: Caller) -> dict[tuple[str, str], str]:
    """What each route's error says to a caller; "" if it has none of these."""
    answers = {}
    for method, path in ROUTES:
        document = caller.client.open(path, method=method, headers=caller.headers).get_json() or {}
        code = document.get("code")
        answers[(method, path)] = code if code in ("forbidden", "session-ended", "unauthorized") else ""
    return answers


def allowed(caller: Caller) -> set[str]:
    """The scopes whose routes a caller may use."""
    answers = codes(caller)
    assert set(answers.values()) <= {"", "forbidden"}
    return {ROUTES[route] for route, code in answers.items() if not code}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_its_own(with_users, role):
    assert allowed(with_users.user("somebody", role)) == MAY[role]


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
def test_a_token_may_do_what_its_scopes_say(with_users, scope):
    assert allowed(with_users.with_token(scope)) == {scope} & set(ROUTES.values())


def test_pneumoctl_may_do_all_and_the_page_nothing_before_a_login(with_users):
    assert allowed(with_users.operator) == MAY["admin"]
    assert set(codes(with_users.page).values()) == {"session-ended"}
    assert set(codes(with_users.with_session("wrong")).values()) == {"session-ended"}
    assert set(codes(with_users.with_session("")).values()) == {"session-ended"}


def test_without_users_sessions_do_not_matter(config):
    without = AccountsApi(api.create_app(config).test_client())
    for caller in (without.page, without.operator, without.with_session("wrong")):
        assert allowed(caller) == MAY["admin"]


@pytest.mark.parametrize("auth", ["none", "users"])
def test_other_bearer_tokens_are_refused(config, auth):
    client = api.create_app({**config, "AUTH": auth}).test_client()
    for token in ("", "wrong", TOKEN + "x", "pneumo_" + "0" * 16 + "_" + "A" * 43, "é"):
        assert set(codes(Caller(client, token)).values()) == {"unauthorized"}
    headers = {"Authorization": f"Basic {TOKEN}"}
    answer = client.get("/v1/predictions", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_revoked_token_is_refused_at_once(with_users):
    client = with_users.with_token("read")
    (token,) = with_users.operator.get("/v1/tokens").get_json()["tokens"]
    assert token["scopes"] == ["read"]
    path = f"/v1/tokens/{token['id']}"
    assert client.get("/v1/predictions").status_code == 200
    assert with_users.client.delete(path, headers=with_users.operator.headers).status_code == 204
    assert client.get("/v1/predictions").status_code == 401
    assert with_users.client.delete(path, headers=with_users.operator.headers).status_code == 404


def test_the_actor_is_known_to_a_route(app, with_users):
    seen = []
    app.before_request(lambda: seen.append(acting()))  # after the authentication
    admin, client = with_users.user("ada", "admin"), with_users.with_token("read")
    seen.clear()
    for caller in (admin, client, with_users.operator):
        caller.get("/v1/predictions")
    assert [(each.kind, each.name, each.role) for each in seen] == [
        ("user", "ada", "admin"),
        ("token", "client", "client"),
        ("stack", "stack", "admin"),
    ]


def test_every_route_says_what_it_needs_and_a_forgotten_one_is_for_admins(app):
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert endpoints <= set(permissions.NEEDED), "webapp/api/permissions.py has a line for each endpoint"
    assert permissions.needed("forgotten.route") == "accounts"


@pytest.mark.parametrize("path", ["/v1/new", "/elsewhere"])
def test_a_route_that_was_forgotten_is_closed_wherever_it_is(app, with_users, path):
    app.add_url_rule(path, "forgotten", lambda: "open")
    assert app.test_client().get(path).status_code == 401
    assert with_users.page.get(path).status_code == 401
    assert with_users.user("alice", "reviewer").get(path).status_code == 403
    assert with_users.user("ada", "admin").get(path).status_code == 200


def test_what_the_browser_asks_by_itself_is_no_use_of_the_session(app, with_users, monkeypatch):
    alice, used = with_users.user("alice", "reader"), []
    monkeypatch.setattr(Sessions, "_used", lambda self, key, session: used.append(key) or session)
    alice.headers["X-Unattended"] = "1"
    assert alice.get("/v1/predictions").status_code == 200
    assert used == []


def test_a_session_tells_its_user_and_ends_by_logging_out(with_users):
    alice = with_users.user("alice", "reviewer")
    current = alice.get("/v1/sessions/current").get_json()
    assert (current["user"], current["totp"]) == ({"name": "alice", "role": "reviewer"}, False)
    assert with_users.client.delete("/v1/sessions/current", headers=alice.headers).status_code == 204
    answer = alice.get("/v1/sessions/current")
    assert (answer.status_code, answer.get_json()["code"]) == (401, "session-ended")
    assert "WWW-Authenticate" not in answer.headers


def test_a_session_that_has_ended_does_not_keep_its_user_from_logging_in(with_users):
    alice = with_users.user("alice", "reader")
    for caller in (alice, with_users.with_session("ended")):
        sent = {"name": "alice", "password": PASSWORD}
        assert with_users.client.post("/v1/sessions", json=sent, headers=caller.headers).status_code == 201
    client = with_users.with_token("read", "predict", "review", "export", "dicom")
    assert with_users.client.post("/v1/sessions", json=sent, headers=client.headers).status_code == 403


def test_a_disabled_user_is_out_at_once(with_users):
    alice = with_users.user("alice", "reviewer")
    change = {"json": {"disabled": True}, "headers": with_users.operator.headers}
    assert with_users.client.patch("/v1/users/alice", **change).get_json()["state"] == "disabled"
    assert alice.get("/v1/predictions").status_code == 401
    assert with_users.log_in("alice").status_code == 401


def test_a_changed_role_counts_from_the_next_request_on(with_users):
    alice = with_users.user("alice", "reviewer")
    with_users.client.patch("/v1/users/alice", json={"role": "reader"}, headers=with_users.operator.headers)
    assert allowed(alice) == MAY["reader"]


def test_all_that_is_wrong_with_a_login_is_told_alike(with_users):
    with_users.user("alice", "reader")
    with_users.invite("bob", "reader")
    answers = [with_users.log_in(*each) for each in (("alice", "wrong"), ("bob", "x"), ("nobody", PASSWORD), ("*", ""))]
    documents = [{**each.get_json(), "instance": ""} for each in answers]
    assert documents[0]["code"] == "login-failed"
    assert all(each == documents[0] for each in documents)


def test_too_many_attempts_are_told_with_the_time_to_wait(with_users):
    with_users.user("alice", "reader")
    for _ in range(PER_NAME):
        assert with_users.log_in("alice", "wrong").status_code == 401
    answer = with_users.log_in("alice")
    assert (answer.status_code, answer.get_json()["code"]) == (429, "too-many-attempts")
    assert 800 < int(answer.headers["Retry-After"]) <= 900


def test_nobody_logs_in_and_no_token_counts_without_the_store(config):
    client = api.create_app({**config, "AUTH": "users", "REDIS_PORT": 1}).test_client()
    without_store = AccountsApi(client)
    assert without_store.log_in("alice").status_code == 503
    assert without_store.with_session("x" * 43).get("/v1/predictions").status_code == 503
    token = f"pneumo_{'0' * 16}_{'A' * 43}"
    assert Caller(client, token).get("/v1/predictions").status_code == 503


def test_a_user_changes_password_and_turns_codes_on_and_off(with_users):
    alice = with_users.user("alice", "reader")
    new = {"password": PASSWORD, "new": "another long password"}
    for wrong, status in (({"password": "x", "new": new["new"]}, 401), ({"password": PASSWORD, "new": "short"}, 400)):
        assert with_users.client.put("/v1/account/password", json=wrong, headers=alice.headers).status_code == status
    changed = with_users.client.put("/v1/account/password", json=new, headers=alice.headers)
    check(changed, "/v1/account/password", "put")
    assert alice.get("/v1/sessions/current").status_code == 401
    alice = with_users.with_session(changed.get_json()["session"])
    proof = {"password": new["new"]}
    secret = post(alice, "/v1/account/totp", proof, 201)
    assert secret["uri"].startswith("otpauth://totp/pneumoctl:alice?secret=")
    assert alice.get("/v1/sessions/current").get_json()["totp"] is False
    code = {"code": pyotp.TOTP(secret["secret"]).now()}
    assert with_users.client.put("/v1/account/totp", json=code, headers=alice.headers).status_code == 204
    assert alice.get("/v1/sessions/current").get_json()["totp"] is True
    assert with_users.log_in("alice", new["new"]).status_code == 401
    post(alice, "/v1/account/totp", proof, 409)
    assert with_users.client.delete("/v1/account/totp", json=proof, headers=alice.headers).status_code == 204
    assert with_users.log_in("alice", new["new"]).status_code == 201
    assert with_users.client.delete("/v1/sessions", headers=alice.headers).status_code == 204
    assert alice.get("/v1/sessions/current").status_code == 401


def test_answers_are_as_the_openapi_document_says(with_users):
    operator = with_users.operator.headers
    client = with_users.client
    created = client.post("/v1/users", json={"name": "alice", "role": "admin"}, headers=operator)
    check(created, "/v1/users", "post")
    check(client.post("/v1/users", json={"name": "alice", "role": "admin"}, headers=operator), "/v1/users", "post")
    for wrong in (
        {},
        {"name": "A", "role": "admin"},
        {"name": "a", "role": "root"},
        {"name": "a" * 65, "role": "admin"},
    ):
        answer = client.post("/v1/users", json=wrong, headers=operator)
        assert answer.status_code == 400
        check(answer, "/v1/users", "post")
    check(client.get("/v1/users", headers=operator), "/v1/users")
    link = {"link": created.get_json()["link"]["token"], "password": "short"}
    check(client.post("/v1/sessions", json=link, headers=operator), "/v1/sessions", "post")
    alice = client.post("/v1/sessions", json={**link, "password": PASSWORD}, headers=operator)
    check(alice, "/v1/sessions", "post")
    again = client.post("/v1/sessions", json={**link, "password": PASSWORD}, headers=operator)
    assert again.get_json()["code"] == "link-invalid"
    for wrong in ({}, [], {"name": "alice"}, {"link": "x"}, {"link": 3, "password": "x"}):
        assert client.post("/v1/sessions", json=wrong, headers=operator).status_code == 400
    session = with_users.with_session(alice.get_json()["session"])
    check(session.get("/v1/sessions/current"), "/v1/sessions/current")
    check(client.post("/v1/account/totp", json={}, headers=session.headers), "/v1/account/totp", "post")
    for name, status in (("nobody", 404), ("A*", 404), ("alice", 409)):
        answer = client.patch(f"/v1/users/{name}", json={"role": "reader"}, headers=operator)
        assert answer.status_code == status
        check(answer, "/v1/users/{name}", "patch")
    check(client.patch("/v1/users/alice", json={}, headers=operator), "/v1/users/{name}", "patch")
    check(client.patch("/v1/users/alice", json={"role": "admin"}, headers=operator), "/v1/users/{name}", "patch")
    check(client.delete("/v1/users/alice", headers=operator), "/v1/users/{name}", "delete")
    check(client.post("/v1/users/nobody/link", headers=operator), "/v1/users/{name}/link", "post")
    check(client.post("/v1/users/alice/link", headers=operator), "/v1/users/{name}/link", "post")
    check(client.post("/v1/tokens", json={"name": "pacs", "scopes": ["dicom"]}, headers=operator), "/v1/tokens", "post")
    for scopes in ([], ["erase"], ["accounts"], "read"):
        answer = client.post("/v1/tokens", json={"name": "pacs", "scopes": scopes}, headers=operator)
        assert answer.status_code == 400
    check(client.get("/v1/tokens", headers=operator), "/v1/tokens")
    check(with_users.page.get("/v1/predictions"), "/v1/predictions")
    check(with_users.with_token("dicom").get("/v1/predictions"), "/v1/predictions")


def test_no_secret_reaches_the_log(with_users, caplog):
    caplog.set_level("DEBUG")
    link = with_users.invite("alice", "reader")
    session = post(with_users.page, "/v1/sessions", {"link": link, "password": PASSWORD}, 201)["session"]
    with_users.with_session(session).get("/v1/sessions/current")
    with_users.log_in("alice", "wrong password")
    token = with_users.with_token("read").headers["Authorization"].removeprefix("Bearer ")
    for secret in (link, session, token, PASSWORD, "wrong password"):
        assert not re.search(re.escape(secret), caplog.text)
