"""The identity of who makes a request."""

import pytest
from flask import Flask

from webapp.account_documents import ROLES, TOKEN_SCOPES
from webapp.api.identity import STACK, Actor, acting, set_acting
from webapp.roles import OF_ROLE, SCOPES


def test_a_request_that_was_not_authenticated_has_no_actor():
    with Flask(__name__).test_request_context(), pytest.raises(LookupError):
        acting()


def test_the_actor_belongs_to_the_current_request():
    app, alice = Flask(__name__), Actor("alice", "user", "reader", OF_ROLE["reader"])
    with app.test_request_context():
        set_acting(alice)
        assert acting() is alice
    with app.test_request_context(), pytest.raises(LookupError):
        acting()


def test_each_role_may_do_all_that_the_one_before_may():
    reader, reviewer, admin = (OF_ROLE[role] for role in ROLES)
    assert reader < reviewer < admin == STACK.scopes
    assert reader == {"read"}
    assert set(TOKEN_SCOPES) == set(SCOPES) - {"accounts", "erase"}


def test_an_actor_may_do_what_its_scopes_allow():
    client = Actor("pacs", "token", "client", frozenset({"dicom"}))
    assert client.may("dicom")
    assert not client.may("read")
