"""`pneumoctl users` and `pneumoctl tokens` with the real API."""

import json
import re

import pytest
import urllib3

from pneumoctl.accounts.client import PROOF, ROLES, SCOPES, Accounts
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.command_documents import document_of
from webapp import account_documents

PASSWORD = "correct horse battery"


def state(accounts: Accounts, name: str) -> tuple[str, str]:
    (user,) = [user for user in accounts.users()[0] if user["name"] == name]
    return user["role"], user["state"]


def test_roles_and_scopes_are_those_of_the_api() -> None:
    assert (ROLES, SCOPES) == (account_documents.ROLES, account_documents.TOKEN_SCOPES)


def test_a_user_is_added_with_a_link_that_works_once(
    stack: Stack, accounts: Accounts, capsys: pytest.CaptureFixture[str]
) -> None:
    document = document_of(capsys, "users", "add", "anna", "--role", "reviewer")
    assert document["user"]["name"] == "anna" and state(accounts, "anna") == ("reviewer", "invited")
    assert document["link"]["url"] == f"http://127.0.0.1:3/set-password?link={document['link']['token']}"
    accounts.begin_session(document["link"]["token"], PASSWORD)
    assert state(accounts, "anna") == ("reviewer", "active")
    error = document_of(capsys, "users", "add", "anna", code=Exit.FAILED)["error"]
    assert error["message"].endswith("There is a user of that name.") and error["hint"] == "pneumoctl users ls"


def test_the_link_is_for_a_person_too(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["users", "add", "anna"]) == 0
    said = capsys.readouterr().out
    assert "anna is a reader now" in said and "  http://127.0.0.1:3/set-password?link=" in said and "one use" in said


def test_a_user_is_disabled_enabled_promoted_and_reset(
    stack: Stack, accounts: Accounts, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts.begin_session(accounts.invite("anna", "reader")["link"]["token"], PASSWORD)
    for words, after in (
        (("role", "anna", "reviewer"), ("reviewer", "active")),
        (("disable", "anna"), ("reviewer", "disabled")),
        (("enable", "anna"), ("reviewer", "active")),
        (("reset", "anna", "-y"), ("reviewer", "invited")),
    ):
        assert document_of(capsys, "users", *words)["user"]["name"] == "anna"
        assert state(accounts, "anna") == after, words


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("users", "role", "nobody", "admin"), "pneumoctl users ls"),
        (("users", "disable", "nobody"), "pneumoctl users ls"),
        (("users", "reset", "nobody", "-y"), "pneumoctl users ls"),
        (("tokens", "revoke", "0123456789abcdef"), "pneumoctl tokens ls"),
    ],
)
def test_what_does_not_exist_can_be_looked_up(
    stack: Stack, words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert document_of(capsys, *words, code=Exit.FAILED)["error"]["hint"] == hint


def test_the_record_of_a_new_role_names_the_role(stack: Stack, accounts: Accounts) -> None:
    accounts.invite("anna", "reader")
    assert run(["users", "role", "anna", "admin"]) == 0
    begun, ended = audit.chain(stack).entries()[-2:]
    assert begun["options"] == {"name": "anna", "role": "admin"} and ended["changed"] == ["user anna: role admin"]


def test_times_are_shown_to_the_second(stack: Stack, accounts: Accounts, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["users", "add", "anna"]) == 0 and run(["tokens", "add", "pacs", "--scope", "read"]) == 0
    assert run(["users", "ls"]) == 0 and run(["tokens", "ls"]) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"\d\d:\d\d:\d\dZ", said)) == 3 and not re.search(r"\d\.\d+Z", said)


def test_the_last_admin_stays(stack: Stack, accounts: Accounts, capsys: pytest.CaptureFixture[str]) -> None:
    accounts.begin_session(accounts.invite("anna", "admin")["link"]["token"], PASSWORD)
    for words in (("disable", "anna"), ("role", "anna", "reader")):
        error = document_of(capsys, "users", *words, code=Exit.FAILED)["error"]
        assert "last active admin" in error["message"], words


def test_enable_says_whether_the_user_has_a_password(
    stack: Stack, accounts: Accounts, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts.begin_session(accounts.invite("anna", "reader")["link"]["token"], PASSWORD)
    accounts.invite("ben", "reader")
    for name, said in (("anna", "anna can log in again"), ("ben", "ben is enabled, and has no password yet")):
        assert run(["users", "disable", name]) == 0 and run(["users", "enable", name]) == 0
        assert said in capsys.readouterr().out, name


def test_users_are_listed_without_secrets(stack: Stack, accounts: Accounts, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["users", "ls"]) == 0 and "there is no user" in capsys.readouterr().out
    link = accounts.invite("anna", "admin")["link"]
    document = document_of(capsys, "users", "ls")
    assert [(user["name"], user["state"]) for user in document["users"]] == [("anna", "invited")]
    assert link["token"] not in json.dumps(document) and "password" not in json.dumps(document)
    assert run(["users", "ls"]) == 0 and "never" in capsys.readouterr().out


def test_a_token_is_shown_once_and_works_until_it_is_revoked(
    stack: Stack, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = document_of(capsys, "tokens", "add", "pacs", "--scope", "read", "--scope", "predict", "--scope", "read")
    assert made["scopes"] == ["read", "predict"]
    head = {"Authorization": f"Bearer {made['token']}"}
    assert urllib3.request("GET", f"{url}/v1/predictions", headers=head).status == 200
    listed = document_of(capsys, "tokens", "ls")
    assert [token["id"] for token in listed["tokens"]] == [made["id"]] and made["token"] not in json.dumps(listed)
    assert document_of(capsys, "tokens", "revoke", made["id"])["revoked"] == made["id"]
    assert urllib3.request("GET", f"{url}/v1/predictions", headers=head).status == 401
    assert document_of(capsys, "tokens", "revoke", made["id"], code=Exit.FAILED)["error"]
    assert run(["tokens", "ls"]) == 0 and "there is no token" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("users", "add", "Anna"),
        ("users", "add", PROOF),
        ("users", "add", "anna", "--role", "boss"),
        ("users", "role", "anna", "boss"),
        ("users", "disable", "../anna"),
        ("users", "disable", ".."),
        ("users", "reset", "a/b", "-y"),
        ("tokens", "add", "pacs"),
        ("tokens", "add", "pacs", "--scope", "all"),
        ("tokens", "add", "", "--scope", "read"),
        ("tokens", "revoke", "../users/anna"),
        ("up", "--admin", "Anna"),
    ],
)
def test_what_is_no_name_role_or_scope_is_a_usage_error(
    stack: Stack, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert document_of(capsys, *words, code=Exit.USAGE)["error"]["hint"]


def test_a_stack_without_users_says_so(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PNEUMO_AUTH")
    for words in (("users", "ls"), ("tokens", "ls"), ("users", "add", "anna"), ("up", "--admin", "anna")):
        error = document_of(capsys, *words, code=Exit.USAGE)["error"]
        assert 'auth = "users"' in error["hint"], words


def test_what_was_done_is_in_the_audit_record_without_secrets(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    link = document_of(capsys, "users", "add", "anna")["link"]
    document_of(capsys, "users", "role", "anna", "admin")
    token = document_of(capsys, "tokens", "add", "pacs", "--scope", "read")
    events = audit.chain(stack).entries()
    assert ["user anna: role admin"] in [event.get("changed") for event in events]
    recorded = json.dumps(events)
    assert "users add" in recorded and "anna" in recorded and "tokens add" in recorded
    assert link["token"] not in recorded and token["token"] not in recorded
