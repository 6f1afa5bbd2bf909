"""The accounts of a stack through its real API: the first admin, and the session of the proof."""

import pytest
import urllib3

from pneumoctl.accounts import first_admin, proof_session
from pneumoctl.accounts.client import PROOF, Accounts, is_name
from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import ApiClient, Refused
from pneumoctl.stack import audit
from tests.pneumoctl.accounts.conftest import PAGE_TOKEN
from tests.webapp.servers import RedisServer

PASSWORD = "correct horse battery"


def names(accounts: Accounts) -> dict[str, tuple[str, str]]:
    return {user["name"]: (user["role"], user["state"]) for user in accounts.users()[0]}


def as_user(url: str, session: str, path: str) -> int:
    """The status of a request that the page makes for a user."""
    headers = {"Authorization": f"Bearer {PAGE_TOKEN}", "Session": session}
    return urllib3.request("GET", url + path, headers=headers).status


def test_a_stack_without_users_gets_an_admin_once(accounts: Accounts, url: str) -> None:
    made = first_admin.ensure(accounts, "anna")
    assert names(accounts) == {"anna": ("admin", "invited")} and made.changed == ["first admin anna"]
    assert made.link is not None
    address = f"https://page/set-password?link={made.link['token']}"
    assert any(address in line for line in made.lines("https://page"))
    again = first_admin.ensure(accounts, "berta")
    assert (again.changed, again.document("https://page"), names(accounts).keys()) == ([], None, {"anna"})
    unset = "admin anna has set no password yet: pneumoctl users reset anna"
    assert first_admin.ensure(accounts, "anna").lines("https://page") == [unset]
    assert again.lines("https://page")[0] == unset and "users add berta --role admin" in again.lines("https://page")[1]
    session = accounts.begin_session(made.link["token"], PASSWORD)
    assert as_user(url, session, "/v1/users") == 200
    assert first_admin.ensure(accounts).lines("https://page") == []


def test_an_admin_is_not_made_in_place_of_damaged_ones(accounts: Accounts, redis_server: RedisServer) -> None:
    """Whoever can damage the store must not get an admin for it."""
    accounts.invite("anna", "admin")
    client = redis_server.client()
    (key,) = client.keys("pneumo:*user:*")
    client.set(key, b"damaged")
    told = first_admin.ensure(accounts, "berta")
    assert told.changed == [] and "anna" in " ".join(told.lines("https://page"))
    assert accounts.users() == ([], ["anna"])


@pytest.mark.parametrize(
    ("login", "name"),
    [
        ("anna@host", "anna"),
        ("Anna@host", "admin"),
        ("1000@host", "admin"),
        ("root@host", "admin"),
        (f"{PROOF}@host", "admin"),
        ("a b@host", "admin"),
    ],
)
def test_the_first_admin_has_the_login_name_if_that_is_of_a_person(
    login: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "current_user", lambda: login)
    assert first_admin.default_name() == name and is_name(name)


def test_the_session_of_the_proof_ends_with_it_and_its_user_too(accounts: Accounts, url: str) -> None:
    with proof_session.opened(accounts) as session:
        assert names(accounts) == {PROOF: ("reviewer", "active")}
        assert as_user(url, session, "/v1/predictions") == 200
        assert as_user(url, session, "/v1/users") == 403
    assert names(accounts) == {} and as_user(url, session, "/v1/predictions") == 401


def test_a_proof_that_was_killed_leaves_nothing_behind_the_next(accounts: Accounts, url: str) -> None:
    link = accounts.invite(PROOF, "reviewer")["link"]
    session = accounts.begin_session(link["token"], PASSWORD)
    with proof_session.opened(accounts):
        assert as_user(url, session, "/v1/predictions") == 401
    assert names(accounts) == {} and first_admin.ensure(accounts, "anna").name == "anna"


def test_the_outcome_of_the_proof_is_not_hidden(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accounts, "remove", lambda *_: (_ for _ in ()).throw(Refused(500, b"")))
    with pytest.raises(PneumoError, match="the score is wrong"), proof_session.opened(accounts):
        raise PneumoError("the score is wrong")


def test_an_api_without_accounts_is_of_another_version(url: str) -> None:
    with pytest.raises(PneumoError, match="404"):
        ApiClient(url, PAGE_TOKEN).exchange("GET", "/v1/no-such-route")
