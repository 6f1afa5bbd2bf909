"""Secrets are rotated while the API serves: previous tokens and keys stay valid, and no others."""

import pytest

from tests.webapp.conftest import Caller
from tests.webapp.servers import MAC_KEY, TOKEN
from webapp import api

NEW_TOKEN, NEW_KEY, THIRD_KEY = "another-token-of-tests", "6b" * 32, "7c" * 32


def rotated(config: dict[str, str], **more: str) -> Caller:
    """The API after a rotation of its secrets, called with the new token."""
    return Caller(api.create_app(config | {"API_TOKEN": NEW_TOKEN, "MAC_KEY": NEW_KEY} | more).test_client(), NEW_TOKEN)


def status(caller: Caller, token: str) -> int:
    """The status of the list for this token."""
    return caller.client.get("/v1/predictions", headers={"Authorization": f"Bearer {token}"}).status_code


def test_both_tokens_are_accepted_during_a_rotation_and_only_the_new_one_after_it(config):
    during = rotated(config, API_TOKEN_PREVIOUS=TOKEN)
    assert [status(during, token) for token in (NEW_TOKEN, TOKEN, "", "a-third-token-of-tests")] == [200, 200, 401, 401]
    for nothing in ("", "  "):
        after = rotated(config, API_TOKEN_PREVIOUS=nothing)
        assert [status(after, token) for token in (NEW_TOKEN, TOKEN, "")] == [200, 401, 401]


def test_a_short_previous_token_is_rejected(config):
    with pytest.raises(Exception, match="API_TOKEN_PREVIOUS is shorter"):
        rotated(config, API_TOKEN_PREVIOUS="short")


def test_records_of_every_key_are_read_and_new_ones_are_sealed_with_the_new_key(config, caller, opaque_picture):
    (first,) = caller.sent((opaque_picture, "first.png"))
    second = rotated(config, MAC_KEYS_PREVIOUS=MAC_KEY)
    (made,) = second.sent((opaque_picture, "second.png"))
    third = rotated(config, MAC_KEY=THIRD_KEY, MAC_KEYS_PREVIOUS=f"{NEW_KEY},{MAC_KEY}")
    for document in (first, made):
        assert third.get(f"/v1/predictions/{document['id']}").get_json() == document
        assert third.get(f"/v1/predictions/{document['id']}/image.png").status_code == 200
    forgot = rotated(config)
    assert forgot.get(f"/v1/predictions/{first['id']}").get_json()["code"] == "record-damaged"
    assert forgot.get(f"/v1/predictions/{made['id']}").get_json() == made


def test_the_same_picture_after_a_rotation_returns_the_first_record(config, caller, opaque_picture):
    (first,) = caller.sent((opaque_picture, "a.png"))
    assert rotated(config, MAC_KEYS_PREVIOUS=MAC_KEY).sent((opaque_picture, "a.png")) == [first]
