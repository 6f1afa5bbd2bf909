"""The page's own token: enough to log somebody in, and for nothing else that needs a user."""

import pytest

from tests.webapp.api.accounts_api import PASSWORD, AccountsApi, post
from tests.webapp.conftest import Caller
from webapp import api
from webapp.requests import NO_SESSION, SESSION_HEADER

TOKEN, PREVIOUS = "of-the-page-0123456789", "of-the-page-before-0123"


def client(config, auth: str):
    return api.create_app({**config, "AUTH": auth, "PAGE_TOKEN": TOKEN, "PAGE_TOKEN_PREVIOUS": PREVIOUS}).test_client()


@pytest.mark.parametrize("token", [TOKEN, PREVIOUS])
def test_a_page_that_asks_nobody_to_log_in_shows_nothing(config, token):
    """A page of an earlier release knows no sessions: it sends its token alone."""
    made = client(config, "users")
    for session in ({}, {SESSION_HEADER: NO_SESSION}, {SESSION_HEADER: "wrong"}):
        headers = {"Authorization": f"Bearer {token}", **session}
        assert made.get("/v1/predictions", headers=headers).get_json()["code"] == "session-ended"
        assert made.get("/v1/users", headers=headers).status_code == 401


def test_the_page_logs_a_user_in_and_then_may_do_what_that_user_may(config):
    made = AccountsApi(client(config, "users"))
    link = {"link": made.invite("alice", "reader"), "password": PASSWORD}
    session = post(Caller(made.client, TOKEN), "/v1/sessions", link, 201)["session"]
    headers = {"Authorization": f"Bearer {TOKEN}", SESSION_HEADER: session}
    assert made.client.get("/v1/predictions", headers=headers).status_code == 200
    assert made.client.get("/v1/users", headers=headers).get_json()["code"] == "forbidden"


def test_without_users_the_page_may_do_all(config):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client(config, "none").get("/v1/predictions", headers=headers).status_code == 200
