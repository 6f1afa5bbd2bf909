"""What people do through the API stands in the trail, and what cannot be recorded is not done."""

import pytest

from tests.webapp.conftest import Caller
from tests.webapp.servers import RedisServer
from webapp import api
from webapp.api import authentication, identity
from webapp.api.identity import Actor
from webapp.api.storage.keys import TRAIL
from webapp.roles import OF_ROLE

PREDICTIONS = "/v1/predictions"
ALICE, BOB = (Actor(name, "user", "reviewer", OF_ROLE["reviewer"]) for name in ("alice", "bob"))
CAROL = Actor("carol", "user", "admin", OF_ROLE["admin"])
CLIENT = Actor("alice", "token", "client", frozenset({"review"}))


class Person(Caller):
    """Calls the API as somebody."""

    actor = ALICE

    def post(self, path: str, document: object = None):
        """POST with the token."""
        return self.client.post(path, json=document, headers=self.headers)

    def acts(self) -> list[tuple[str, str, str | None]]:
        """Who did what to which result."""
        entries = [each["entry"] for each in self.get("/v1/trail").get_json()["entries"]]
        return [(each["actor"], f"{each['act']} {each['outcome']}", each["subject"]) for each in entries]


@pytest.fixture
def person(config, monkeypatch) -> Person:
    """A person whose identity a test chooses."""
    made = Person(api.create_app(config).test_client())
    monkeypatch.setattr(authentication, "set_acting", lambda _: identity.set_acting(made.actor))
    return made


def test_each_clinical_act_stands_in_the_trail_with_who_did_it(person, clear_picture):
    (document,) = person.sent((clear_picture, "doe^john.png"))
    identifier = document["id"]
    path = f"{PREDICTIONS}/{identifier}"
    person.get(path)
    person.get(f"{path}/image.png")  # the same view
    review = person.post(f"{path}/feedback", {"label": "unsure"}).get_json()["id"]
    person.actor = CAROL
    person.get(f"{path}/heatmap.png")
    person.get(path, query_string={})
    person.post(f"{path}/feedback/{review}/withdrawal")
    person.client.get(PREDICTIONS, headers={**person.headers, "X-Pneumo-Export": "1"})
    person.client.get(path, headers={**person.headers, "X-Pneumo-Export": "1"})
    person.client.delete(path, headers=person.headers)
    assert person.acts() == [
        ("alice", "upload done", identifier),
        ("alice", "view done", identifier),
        ("alice", "review done", identifier),
        ("carol", "view done", identifier),
        ("carol", "withdrawal done", identifier),
        ("carol", "export done", None),
        ("carol", "export done", identifier),
        ("carol", "erase done", identifier),
    ]
    assert "doe" not in person.get("/v1/trail").text


def test_lists_and_results_that_there_are_not_are_no_views(person):
    person.get(PREDICTIONS)
    person.get(f"{PREDICTIONS}/{'0' * 32}")
    assert person.acts() == []


def test_a_probe_of_a_health_check_is_not_recorded(person, clear_picture):
    person.headers["X-Pneumo-Probe"] = "1"
    person.sent((clear_picture, "a.png"))
    assert person.acts() == []


def test_a_change_that_cannot_be_recorded_is_refused_and_says_why(person, clear_picture, opaque_picture, redis_server):
    (document,) = person.sent((clear_picture, "a.png"))
    path = f"{PREDICTIONS}/{document['id']}"
    redis_server.client().delete(TRAIL)
    redis_server.client().set(TRAIL, "x")
    for answer in (
        person.send((opaque_picture, "b.png")),
        person.post(f"{path}/feedback", {"label": "unsure"}),
        person.client.delete(path, headers=person.headers),
    ):
        assert (answer.status_code, answer.get_json()["code"]) == (503, "trail-unavailable")
        assert "finding" not in answer.get_json() and "there is no result" in answer.get_json()["detail"]
    assert person.get("/v1/trail").get_json()["code"] == "trail-unavailable"
    assert not person.client.get("/readyz").get_json()["checks"]["store"]["ok"]
    assert person.get(PREDICTIONS).get_json()["total"] == 1
    assert person.get(f"{path}/feedback").get_json()["feedback"] == []


def test_a_view_is_not_refused_and_the_trail_says_later_that_it_lacks_some(person, clear_picture, redis_server, caplog):
    (document,) = person.sent((clear_picture, "a.png"))
    path = f"{PREDICTIONS}/{document['id']}"
    redis_server.client().delete(TRAIL)
    redis_server.client().set(TRAIL, "x")
    assert person.get(path).get_json() == document and person.get(f"{path}/image.png").status_code == 200
    assert f"view of {document['id']} by user alice" in caplog.text and "a.png" not in caplog.text
    redis_server.client().delete(TRAIL)
    person.get(path)
    assert [act for _, act, _ in person.acts()] == ["unrecorded done", "view done"]


def test_the_trail_is_read_in_parts(person, clear_picture):
    (document,) = person.sent((clear_picture, "a.png"))
    for name in "abc":
        person.actor = Actor(name, "user", "reader")
        person.get(f"{PREDICTIONS}/{document['id']}")
    first = person.get("/v1/trail?limit=3").get_json()
    assert [each["n"] for each in first["entries"]] == [1, 2, 3] and first["next"] == 3
    last = person.get("/v1/trail?after=3").get_json()
    assert [each["n"] for each in last["entries"]] == [4] and last["next"] is None
    assert last["head"] == {"n": 4, "hash": last["entries"][0]["hash"]} == first["head"]
    assert person.get("/v1/trail?after=9").get_json()["entries"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-1", "after=x", "chain=x", "other=1", "limit="])
def test_wrong_parameters_are_refused(person, query):
    assert person.get(f"/v1/trail?{query}").status_code == 400


def test_the_trail_needs_the_token_and_an_imported_one_its_name(person):
    assert person.client.get("/v1/trail").status_code == 401
    assert person.get(f"/v1/trail?chain={'0' * 32}").status_code == 404


def test_reviews_carry_who_and_only_the_author_or_an_admin_withdraws(person, clear_picture):
    (document,) = person.sent((clear_picture, "a.png"))
    path = f"{PREDICTIONS}/{document['id']}/feedback"
    reviews = [person.post(path, {"label": label}).get_json() for label in ("unsure", "pneumonia", "no pneumonia")]
    assert {each["who"] for each in reviews} == {"alice"} and "number" not in reviews[0]
    for actor in (BOB, CLIENT):
        person.actor = actor
        refused = person.post(f"{path}/{reviews[0]['id']}/withdrawal")
        assert (refused.status_code, refused.get_json()["code"]) == (403, "not-author")
    person.actor = ALICE
    assert person.post(f"{path}/{reviews[0]['id']}/withdrawal").status_code == 200
    person.actor = CAROL
    assert person.post(f"{path}/{reviews[1]['id']}/withdrawal").status_code == 200
    person.actor = CLIENT
    assert person.post(path, {"label": "unsure"}).get_json()["who"] == "token:alice"
    shown = person.get(path).get_json()["feedback"]
    assert [each["withdrawn"] is None for each in shown] == [False, False, True, True]


def test_without_users_reviews_have_no_name_and_anybody_withdraws(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    path = f"{PREDICTIONS}/{document['id']}/feedback"
    review = caller.client.post(path, json={"label": "unsure"}, headers=caller.headers).get_json()
    assert review["who"] is None
    assert caller.client.post(f"{path}/{review['id']}/withdrawal", headers=caller.headers).status_code == 200


def test_two_readers_who_agree_within_two_minutes_are_two_reviews(person, clear_picture):
    (document,) = person.sent((clear_picture, "a.png"))
    path = f"{PREDICTIONS}/{document['id']}/feedback"
    for actor in (ALICE, ALICE, BOB, BOB):
        person.actor = actor
        person.post(path, {"label": "unsure"})
    assert [each["who"] for each in person.get(path).get_json()["feedback"]] == ["alice", "bob"]


def test_the_trail_survives_the_erasure_of_a_result(person, clear_picture, redis_server: RedisServer):
    (document,) = person.sent((clear_picture, "a.png"))
    person.client.delete(f"{PREDICTIONS}/{document['id']}", headers=person.headers)
    assert [act for _, act, _ in person.acts()] == ["upload done", "erase done"]
