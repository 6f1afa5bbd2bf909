"""Users in a real Redis: invitations, links, changes, and the last admin."""

import pytest

from tests.webapp.api.accounts.conftest import PASSWORD
from webapp.api.accounts.errors import Exists, LastAdmin, LinkInvalid
from webapp.api.accounts.passwords import Weak
from webapp.api.accounts.users import LINK_S
from webapp.api.storage.errors import Damaged, Missing


def admin(accounts, name: str):
    _, link = accounts.users.create(name, "admin")
    return accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.1")


def test_a_user_is_invited_and_becomes_active_by_the_link(accounts):
    user, link = accounts.users.create("alice", "reader")
    assert user.state == "invited"
    assert accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.1").state == "active"
    assert accounts.users.find("alice").last_login is not None
    with pytest.raises(Exists):
        accounts.users.create("alice", "admin")


def test_a_link_is_good_once_and_for_a_time(accounts, clock):
    _, link = accounts.users.create("alice", "reader")
    accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.1")
    with pytest.raises(LinkInvalid):
        accounts.log_in_by_link(link.token, "another password", "192.0.2.1")
    _, late = accounts.users.create("bob", "reader")
    clock.time += LINK_S
    with pytest.raises(LinkInvalid):
        accounts.log_in_by_link(late.token, PASSWORD, "192.0.2.1")


def test_a_weak_password_does_not_use_the_link_up(accounts):
    _, link = accounts.users.create("alice", "reader")
    for weak in ("short", "a" * 20, "alice and her cat", "x" * 129):
        with pytest.raises(Weak):
            accounts.log_in_by_link(link.token, weak, "192.0.2.1")
    assert accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.1").state == "active"


def test_a_new_link_replaces_the_one_before_and_ends_password_and_sessions(accounts, alice):
    token, _ = accounts.sessions.begin(alice)
    _, first = accounts.users.new_link("alice")
    assert accounts.sessions.current(token) is None
    assert accounts.users.find("alice").state == "invited"
    _, second = accounts.users.new_link("alice")
    with pytest.raises(LinkInvalid):
        accounts.log_in_by_link(first.token, PASSWORD, "192.0.2.1")
    assert accounts.log_in_by_link(second.token, PASSWORD, "192.0.2.1").state == "active"


def test_the_link_of_a_disabled_user_is_not_good(accounts):
    _, link = accounts.users.create("alice", "reader")
    accounts.users.change("alice", None, True)
    with pytest.raises(LinkInvalid):
        accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.1")


def test_the_last_active_admin_stays(accounts):
    admin(accounts, "ada")
    accounts.users.create("bob", "admin")  # invited: cannot log in yet
    for attempt in (
        lambda: accounts.users.change("ada", "reader", None),
        lambda: accounts.users.change("ada", None, True),
        lambda: accounts.users.remove("ada"),
    ):
        with pytest.raises(LastAdmin):
            attempt()
    admin(accounts, "cleo")
    assert accounts.users.change("ada", "reader", None).role == "reader"
    with pytest.raises(LastAdmin):
        accounts.users.remove("cleo")


def test_an_invited_admin_who_is_the_only_one_stays(accounts):
    accounts.users.create("ada", "admin")
    for attempt in (
        lambda: accounts.users.change("ada", "reader", None),
        lambda: accounts.users.change("ada", None, True),
        lambda: accounts.users.remove("ada"),
    ):
        with pytest.raises(LastAdmin):
            attempt()
    accounts.users.create("bob", "admin")
    assert accounts.users.change("ada", None, True).state == "disabled"
    with pytest.raises(LastAdmin):
        accounts.users.change("bob", "reader", None)


def test_a_user_can_be_enabled_again_but_the_sessions_stay_ended(accounts, alice):
    token, _ = accounts.sessions.begin(alice)
    assert accounts.users.change("alice", None, True).state == "disabled"
    assert accounts.users.change("alice", None, False).state == "active"
    assert accounts.sessions.current(token) is None


def test_nothing_in_redis_holds_a_password_or_a_token(accounts, alice, redis_server):
    _, link = accounts.users.create("bob", "reader")
    session, _ = accounts.sessions.begin(alice)
    text, _ = accounts.tokens.create("pacs", ["dicom"])
    client = redis_server.client()
    stored = b"\n".join(key + b" " + (client.get(key) or b"") for key in client.scan_iter())
    for secret in (link.token, session, text, PASSWORD):
        assert secret.encode() not in stored
    assert b"192.0.2.1" not in stored


def test_a_role_that_was_changed_in_redis_is_not_believed(accounts, alice, redis_server):
    client, key = redis_server.client(), "pneumo:1:user:alice"
    client.set(key, client.get(key).replace(b'"reviewer"', b'"admin"'))
    with pytest.raises(Damaged):
        accounts.users.find("alice")
    assert accounts.users.all() == ([], ["alice"])
    with pytest.raises(Damaged):
        accounts.log_in("alice", PASSWORD, "", "192.0.2.1")
    user, _ = accounts.users.create("alice", "reader")  # replaces it
    assert accounts.users.all() == ([user], [])


def test_a_damaged_user_can_be_removed(accounts, alice, redis_server):
    redis_server.client().set("pneumo:1:user:alice", b"x")
    accounts.users.remove("alice")
    with pytest.raises(Missing):
        accounts.users.remove("alice")
