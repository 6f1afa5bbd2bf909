"""Sessions in a real Redis: their limits, their end, and the tokens of clients."""

import pytest

from tests.webapp.api.accounts.conftest import ABSOLUTE_S, IDLE_S
from webapp.api.accounts import sessions as sessions_module
from webapp.api.storage.errors import Damaged, Missing


def test_a_session_lasts_while_it_is_used_up_to_the_absolute_limit(accounts, alice, clock):
    token, _ = accounts.sessions.begin(alice)
    began = clock.time
    while clock.time - began < ABSOLUTE_S - IDLE_S / 2:
        clock.time += IDLE_S / 2
        assert (accounts.sessions.current(token) is not None) == (clock.time - began < ABSOLUTE_S)
    clock.time = began + ABSOLUTE_S
    assert accounts.sessions.current(token) is None


def test_an_idle_session_ends(accounts, alice, clock):
    token, _ = accounts.sessions.begin(alice)
    clock.time += IDLE_S
    assert accounts.sessions.current(token) is None


def test_what_the_browser_asks_by_itself_does_not_put_the_end_off(accounts, alice, clock):
    token, _ = accounts.sessions.begin(alice)
    for _ in range(3):
        clock.time += IDLE_S / 4
        assert accounts.sessions.current(token, used=False) is not None
    clock.time += IDLE_S / 4
    assert accounts.sessions.current(token, used=False) is None


def test_a_session_that_was_ended_while_it_was_used_stays_ended(accounts, alice, clock, monkeypatch):
    token, _ = accounts.sessions.begin(alice)
    clock.time += IDLE_S / 2
    transact = sessions_module.transact

    def ended_before(*arguments):
        accounts.sessions.end(token)
        return transact(*arguments)

    monkeypatch.setattr(sessions_module, "transact", ended_before)
    accounts.sessions.current(token)
    assert accounts.sessions.current(token) is None


def test_ending_one_session_leaves_the_others_and_ending_all_leaves_none(accounts, alice):
    first, second = accounts.sessions.begin(alice)[0], accounts.sessions.begin(alice)[0]
    accounts.sessions.end(first)
    assert accounts.sessions.current(first) is None
    assert accounts.sessions.current(second)[0].name == "alice"
    accounts.end_sessions(alice)
    assert accounts.sessions.current(second) is None


def test_unknown_and_foreign_tokens_have_no_session(accounts, alice, redis_server):
    token, _ = accounts.sessions.begin(alice)
    for wrong in ("", "none", token[:-1], "\ud800", "é" * 50):
        assert accounts.sessions.current(wrong) is None
    client = redis_server.client()
    (key,) = client.keys("pneumo:1:session:*")
    client.set(key, client.get(key).replace(b"alice", b"admin"))
    assert accounts.sessions.current(token) is None


def test_a_client_token_is_verified_whole_and_can_be_revoked(accounts):
    text, token = accounts.tokens.create("pacs", ["dicom", "dicom"])
    assert token.scopes == ("dicom",)
    assert accounts.tokens.verified(text) == token
    for wrong in (
        text[:-1] + ("A" if text[-1] != "A" else "B"),
        text + "x",
        "pneumo_",
        f"pneumo_{token.id}_" + "A" * 43,
    ):
        assert accounts.tokens.verified(wrong) is None
    accounts.tokens.revoke(token.id)
    assert accounts.tokens.verified(text) is None
    with pytest.raises(Missing):
        accounts.tokens.revoke(token.id)


def test_a_damaged_token_is_refused_listed_and_can_be_revoked(accounts, redis_server):
    text, token = accounts.tokens.create("pacs", ["read"])
    key, client = f"pneumo:1:token:{token.id}", redis_server.client()
    client.set(key, client.get(key).replace(b'"read"', b'"export"'))
    with pytest.raises(Damaged):
        accounts.tokens.verified(text)
    assert accounts.tokens.all() == ([], [token.id])
    accounts.tokens.revoke(token.id)
    assert accounts.tokens.all() == ([], [])
