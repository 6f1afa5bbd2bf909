"""Whether something has changed in the store is cheap to ask, and every change that a list shows is told."""

from tests.webapp.api.answers import problem
from tests.webapp.api.test_openapi import check
from webapp import api
from webapp.requests import POSITION_HEADER

PATH = "/v1/changes"


def position(caller) -> str:
    """The last change of the store."""
    answer = caller.get(PATH)
    check(answer, PATH)
    return answer.get_json()["position"]


def test_every_change_that_a_list_shows_is_told_and_nothing_else(caller, clear_picture):
    seen = [position(caller)]
    (made,) = caller.sent((clear_picture, "a.png"))
    address = f"/v1/predictions/{made['id']}"
    seen.append(position(caller))
    review = {"label": "unsure"}
    stored = caller.client.post(f"{address}/feedback", json=review, headers=caller.headers).get_json()
    seen.append(position(caller))
    caller.client.post(f"{address}/feedback/{stored['id']}/withdrawal", headers=caller.headers)
    seen.append(position(caller))
    caller.client.delete(address, headers=caller.headers)
    seen.append(position(caller))
    assert len(set(seen)) == 5
    caller.get("/v1/predictions")
    caller.get(address)
    caller.client.delete(address, headers=caller.headers)
    assert position(caller) == seen[-1]


def test_a_list_names_the_change_before_it_was_read(caller, clear_picture):
    caller.sent((clear_picture, "a.png"))
    assert caller.get("/v1/predictions").headers[POSITION_HEADER] == position(caller) != ""


def test_it_needs_the_token_and_says_if_the_store_fails(caller, config):
    problem(caller.client.get(PATH), 401, "unauthorized")
    broken = type(caller)(api.create_app({**config, "REDIS_PORT": 1}).test_client())
    problem(broken.get(PATH), 503, "store-unavailable")


def test_asking_is_not_logged_unless_it_fails(caller, caplog):
    caller.get(PATH)
    assert PATH not in caplog.text
