"""Logins and changes of accounts stand in the trail, with no secret and nothing that was only typed."""

import json

import pytest

from tests.webapp.api.accounts_api import PASSWORD, AccountsApi, post
from webapp import api
from webapp.api.storage.keys import TRAIL


@pytest.fixture
def with_users(config) -> AccountsApi:
    """The API of a stack with users."""
    return AccountsApi(api.create_app({**config, "AUTH": "users"}).test_client())


def kinds(with_users: AccountsApi) -> list[str]:
    """Who did what, with the kind of that actor."""
    entries = [each["entry"] for each in with_users.operator.get("/v1/trail").get_json()["entries"]]
    return [f"{each['kind']} {each['actor']} {each['act']}" for each in entries]


@pytest.mark.parametrize("named", ["eve@ward", "x" * 129, "eve ward", "<b>", ""])
def test_who_runs_pneumoctl_is_believed_only_with_the_token_of_the_stack(with_users, named):
    header = {"X-Pneumo-Operator": named}
    with_users.operator.headers |= header
    admin = with_users.user("alice", "admin")
    admin.headers |= header
    post(admin, "/v1/tokens", {"name": "pacs", "scopes": ["read"]}, 201)
    with_users.page.headers |= header
    with_users.log_in("alice", "wrong")
    expected = "operator eve@ward account" if named == "eve@ward" else "stack stack account"
    assert kinds(with_users) == [*[expected] * 2, "user alice login", *["user alice account"] * 2, "user alice login"]


def acts(with_users: AccountsApi) -> list[str]:
    """Who did what to which account."""
    entries = [each["entry"] for each in with_users.operator.get("/v1/trail").get_json()["entries"]]
    return [
        " ".join(filter(None, (each["actor"], each["act"], each["outcome"], each["subject"], each["detail"])))
        for each in entries
    ]


def test_logins_and_changes_of_accounts_are_recorded(with_users):
    alice = with_users.user("alice", "reviewer")
    with_users.log_in("alice", "wrong")
    with_users.log_in("my-password-typed-as-name", "wrong")
    with_users.client.post(
        "/v1/sessions", json={"link": "x" * 43, "password": PASSWORD}, headers=with_users.page.headers
    )
    new = {"password": PASSWORD, "new": "another good password"}
    with_users.client.put("/v1/account/password", json=new, headers=alice.headers)
    token = post(with_users.operator, "/v1/tokens", {"name": "pacs", "scopes": ["read"]}, 201)
    for identifier in (token["id"], "0" * 32):
        with_users.client.delete(f"/v1/tokens/{identifier}", headers=with_users.operator.headers)
    with_users.client.patch("/v1/users/alice", json={"disabled": True}, headers=with_users.operator.headers)
    with_users.client.patch("/v1/users/bob", json={"role": "reader"}, headers=with_users.operator.headers)
    assert acts(with_users) == [
        "stack account begun alice created as reviewer",
        "stack account done alice created as reviewer",
        "alice login done password set by link",
        "alice login refused",
        "unknown login refused",
        "alice account begun alice password",
        "alice account done alice password",
        "alice login done",
        "stack account begun token:pacs created for read",
        "stack account done token:pacs created for read",
        "stack account begun token:pacs revoked",
        "stack account done token:pacs revoked",
        "stack account begun token: unknown revoked",
        "stack account refused token: unknown revoked",
        "stack account begun alice disabled",
        "stack account done alice disabled",
        "stack account begun bob role: reader",
        "stack account refused bob role: reader",
    ]
    assert not [
        secret
        for secret in (PASSWORD, "another good", token["token"], "typed-as")
        if secret in json.dumps(with_users.operator.get("/v1/trail").get_json())
    ]


def test_refused_logins_of_an_hour_have_few_entries_which_tell_how_many_there_were(with_users, monkeypatch):
    alice = with_users.user("alice", "reader")
    del alice
    started = len(acts(with_users))
    for number in range(124):
        with_users.log_in(f"nobody{number}", "wrong", address=f"192.0.2.{number}")
        if number < 9:
            with_users.log_in("alice", "wrong", address=f"192.0.2.{number}")
    entries = acts(with_users)[started:]
    assert [entry.partition(" since")[0] for entry in entries] == [
        "unknown login refused",
        "alice login refused",
        "unknown login refused 10 refused",
        "unknown login refused 100 refused",
    ]
    attempts = with_users.client.application.extensions["pneumo"].accounts.attempts
    now = attempts._now()
    monkeypatch.setattr(attempts, "_now", lambda: now + 3601)
    for name in ("nobody", "alice"):
        with_users.log_in(name, "wrong")
    later = [entry.partition(" from")[0] for entry in acts(with_users)[started + 4 :]]
    assert later == ["unknown login refused 24 more were refused", "alice login refused 8 more were refused"]


def test_a_logout_is_recorded_and_ends_the_session_although_the_trail_cannot_be_written(with_users, redis_server):
    sessions = [with_users.user(name, "reader") for name in ("alice", "bob")]
    path = "/v1/sessions/current"
    assert with_users.client.delete(path, headers=sessions[0].headers).status_code == 204
    assert acts(with_users)[-1] == "alice logout done"
    redis_server.client().delete(TRAIL)
    redis_server.client().set(TRAIL, "x")
    assert with_users.client.delete(path, headers=sessions[1].headers).status_code == 204
    assert with_users.client.get(path, headers=sessions[1].headers).status_code == 401


def test_without_a_trail_nobody_logs_in_and_no_account_changes(with_users, redis_server):
    with_users.user("alice", "reader")
    redis_server.client().delete(TRAIL)
    redis_server.client().set(TRAIL, "x")
    answer = with_users.log_in("alice")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "trail-unavailable")
    assert "session" not in answer.get_json()
    post(with_users.operator, "/v1/users", {"name": "eve", "role": "admin"}, 503)
    assert [each["name"] for each in with_users.operator.get("/v1/users").get_json()["users"]] == ["alice"]


def test_only_an_admin_reads_the_trail(with_users):
    statuses = {
        role: with_users.user(role, role).get("/v1/trail").status_code for role in ("reader", "reviewer", "admin")
    }
    assert statuses == {"reader": 403, "reviewer": 403, "admin": 200}
    assert with_users.with_token("read", "export").get("/v1/trail").status_code == 403
