"""The API says what can be shown beside a result, and the addresses of the pictures give the same answer."""

import pytest

from tests.webapp.api.answers import problem
from webapp.api.classifier import Scorer

SHOWN = {"available": True, "code": None, "reason": None}


@pytest.fixture
def stored(caller, opaque_picture) -> dict:
    """A stored result with a finding."""
    (document,) = caller.sent((opaque_picture, "a.png"))
    return document


def available(caller, identifier: str) -> tuple[dict, dict]:
    """What the API says of the picture and of the heat map; one that is not available gives the reason itself, too."""
    path = f"/v1/predictions/{identifier}"
    told = caller.get(f"{path}/pictures").get_json()
    for name, address in (("picture", "image.png"), ("heatmap", "heatmap.png")):
        answer = caller.get(f"{path}/{address}")
        if told[name]["available"]:
            assert answer.status_code == 200 and told[name] == SHOWN
        else:
            assert problem(answer, answer.status_code, told[name]["code"])["detail"] == told[name]["reason"]
    return told["picture"], told["heatmap"]


def test_both_are_available(caller, stored):
    assert available(caller, stored["id"]) == (SHOWN, SHOWN)


def test_a_file_that_was_not_decoded_has_neither(caller):
    (document,) = caller.sent((b"broken", "c.png"))
    picture, heatmap = available(caller, document["id"])
    assert (picture["code"], heatmap["code"]) == ("no-picture", "no-heatmap")


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_picture_that_is_lost_is_no_damage_of_the_record(caller, stored, redis_server, harm):
    key, client = f"pneumo:1:image:{stored['id']}", redis_server.client()
    client.delete(key) if harm == "lost" else client.setrange(key, 30, b"X")
    assert {each["code"] for each in available(caller, stored["id"])} == {"picture-damaged"}
    assert caller.get(f"/v1/predictions/{stored['id']}").get_json() == stored


def test_another_model_has_the_picture_and_no_heat_map(caller, stored, monkeypatch):
    monkeypatch.setattr(Scorer, "version", property(lambda _: "another"))
    picture, heatmap = available(caller, stored["id"])
    assert (picture, heatmap["code"]) == (SHOWN, "model-changed")


def test_a_result_that_cannot_be_shown_has_none_either(caller, stored, redis_server):
    redis_server.client().append(f"pneumo:1:record:{stored['id']}", b"x")
    problem(caller.get(f"/v1/predictions/{stored['id']}/pictures"), 500, "record-damaged")
    problem(caller.get(f"/v1/predictions/{'0' * 32}/pictures"), 404, "not-found")
