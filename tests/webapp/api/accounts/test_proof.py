"""Logins: one answer for all that is wrong, one-time codes that count once, and limits on attempts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyotp
import pytest

from tests.webapp.api.accounts.conftest import PASSWORD
from tests.webapp.servers import unreachable_redis
from webapp.api.accounts import passwords
from webapp.api.accounts.attempts import PER_ADDRESS, PER_NAME, WINDOW_S, Attempts
from webapp.api.accounts.errors import LinkInvalid, LoginRefused, TooManyAttempts
from webapp.api.storage.errors import StoreUnavailable

HERE = "192.0.2.1"


def code_of(secret: str, clock, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(int(clock.time) + 30 * steps)


@pytest.fixture
def secret(accounts, alice, clock) -> str:
    """The secret of Alice's one-time codes, which are turned on."""
    secret = accounts.begin_totp(alice)
    accounts.confirm_totp(alice, code_of(secret, clock), HERE)
    clock.time += 60
    return secret


def test_only_the_right_password_of_an_active_user_logs_in(accounts, alice):
    assert accounts.log_in("alice", PASSWORD, "", HERE).name == "alice"
    accounts.users.create("invited", "reader")
    for name, password in (("alice", "wrong"), ("nobody", PASSWORD), ("invited", PASSWORD), ("A*/", "x"), ("", "")):
        with pytest.raises(LoginRefused):
            accounts.log_in(name, password, "", HERE)
    accounts.users.change("alice", None, True)
    with pytest.raises(LoginRefused):
        accounts.log_in("alice", PASSWORD, "", HERE)


def test_a_hash_is_verified_for_names_that_do_not_exist_too(accounts, alice, monkeypatch):
    verified = []
    real = passwords._HASHER.verify
    monkeypatch.setattr(
        passwords._HASHER.__class__,
        "verify",
        lambda self, stored, given: verified.append(stored) or real(stored, given),
    )
    for name in ("alice", "nobody", "*"):
        with pytest.raises(LoginRefused):
            accounts.log_in(name, "wrong", "", HERE)
    assert len(verified) == 3
    assert all(each.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for each in verified)


def test_a_password_fits_however_its_letters_are_composed():
    hashed = passwords.hash_password("pa\u0308sse am morgen")
    assert passwords.verify(hashed, "p\u00e4sse am morgen")
    assert not passwords.verify(hashed, "passe am morgen")


def test_codes_are_asked_for_once_they_are_confirmed(accounts, alice, clock):
    secret = accounts.begin_totp(alice)
    assert accounts.log_in("alice", PASSWORD, "", HERE)
    with pytest.raises(LoginRefused):
        accounts.confirm_totp(alice, "000000", HERE)
    accounts.confirm_totp(alice, code_of(secret, clock), HERE)
    with pytest.raises(LoginRefused):
        accounts.log_in("alice", PASSWORD, "", HERE)
    clock.time += 60
    assert accounts.log_in("alice", PASSWORD, code_of(secret, clock), HERE)
    accounts.end_totp(alice)
    assert accounts.log_in("alice", PASSWORD, "", HERE)


def test_a_code_counts_once_and_within_a_step_of_the_clock(accounts, secret, clock):
    with pytest.raises(LoginRefused):
        accounts.log_in("alice", PASSWORD, code_of(secret, clock, -2), HERE)
    with pytest.raises(LoginRefused):
        accounts.log_in("alice", PASSWORD, code_of(secret, clock, 2), HERE)
    assert accounts.log_in("alice", PASSWORD, code_of(secret, clock, 1), HERE)
    for used in (1, 0):
        with pytest.raises(LoginRefused):
            accounts.log_in("alice", PASSWORD, code_of(secret, clock, used), HERE)


def test_a_code_that_is_sent_twice_at_once_logs_in_once(accounts, secret, clock):
    def attempt(_) -> bool:
        try:
            return accounts.log_in("alice", PASSWORD, code_of(secret, clock), HERE) is not None
        except (LoginRefused, StoreUnavailable):
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1


def test_the_secret_of_codes_is_not_in_redis(accounts, secret, redis_server):
    assert secret.encode() not in redis_server.client().get("pneumo:1:user:alice")


def test_a_changed_password_ends_the_sessions(accounts, alice):
    token, _ = accounts.sessions.begin(alice)
    with pytest.raises(LoginRefused):
        accounts.change_password(alice, "wrong", "a new long password", HERE)
    accounts.change_password(alice, PASSWORD, "a new long password", HERE)
    assert accounts.sessions.current(token) is None
    with pytest.raises(LoginRefused):
        accounts.log_in("alice", PASSWORD, "", HERE)


def test_a_user_who_was_disabled_while_the_password_was_verified_is_not_logged_in(accounts, alice, monkeypatch):
    monkeypatch.setattr(passwords, "verify", lambda *_: accounts.users.change("alice", None, True) is not None)
    with pytest.raises(LoginRefused):
        accounts.log_in("alice", PASSWORD, "", HERE)


def test_attempts_are_limited_by_name_until_their_window_ends(accounts, alice, clock):
    for number in range(PER_NAME):
        with pytest.raises(LoginRefused):
            accounts.log_in("alice", "wrong", "", f"192.0.2.{number}")
    clock.time += 10
    with pytest.raises(TooManyAttempts) as refused:
        accounts.log_in("alice", PASSWORD, "", "192.0.2.99")
    assert refused.value.retry_after == WINDOW_S - 10
    clock.time += WINDOW_S - 10
    assert accounts.log_in("alice", PASSWORD, "", HERE)


def test_a_right_password_ends_the_count_of_its_name(accounts, alice):
    for _ in range(3):
        for _ in range(PER_NAME - 1):
            with pytest.raises(LoginRefused):
                accounts.log_in("alice", "wrong", "", HERE)
        assert accounts.log_in("alice", PASSWORD, "", HERE)


def test_attempts_are_limited_by_address(accounts):
    for number in range(PER_ADDRESS):
        accounts.attempts.count(f"user-{number}", HERE)
    with pytest.raises(TooManyAttempts):
        accounts.attempts.count("another", HERE)
    accounts.attempts.count("another", "192.0.2.2")


def test_links_that_are_tried_keep_nobody_from_a_link_of_their_own(accounts):
    _, link = accounts.users.create("alice", "reader")
    for number in range(PER_NAME + 1):
        with pytest.raises(LinkInvalid):
            accounts.log_in_by_link(f"wrong {number}", PASSWORD, f"192.0.2.{number}")
    assert accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.99").name == "alice"


def test_attempts_beside_each_other_are_all_counted(accounts):
    def attempt(_) -> bool:
        try:
            accounts.attempts.count("alice", HERE)
        except (TooManyAttempts, StoreUnavailable):
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        allowed = sum(pool.map(attempt, range(40)))
    assert 0 < allowed <= PER_NAME


def test_nobody_logs_in_while_attempts_cannot_be_counted(accounts, alice, redis_server):
    broken = replace(accounts, attempts=Attempts(unreachable_redis()))
    with pytest.raises(StoreUnavailable):
        broken.log_in("alice", PASSWORD, "", HERE)
    for key in redis_server.client().scan_iter("pneumo:1:attempts:*"):
        redis_server.client().set(key, b"x")
    with pytest.raises(StoreUnavailable):
        accounts.log_in("alice", PASSWORD, "", HERE)
