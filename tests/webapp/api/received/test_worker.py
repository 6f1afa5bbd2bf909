"""A received film gets exactly one result, refusal or error, whatever happens to the process that scores it."""

import json
import threading
import time

import pytest

from tests.webapp.api.received.films import PATIENT, UID, film, related
from tests.webapp.conftest import Caller
from webapp import api
from webapp.api import intake
from webapp.api.classifier import Scorer
from webapp.api.received.worker import ATTEMPTS, Worker
from webapp.api.services import Services
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.store import Store


@pytest.fixture
def services(caller: Caller) -> Services:
    return caller.client.application.extensions["pneumo"]


@pytest.fixture
def worker(services: Services) -> Worker:
    return Worker(services, threading.Event())


def results(caller: Caller) -> list[dict]:
    return caller.get("/v1/predictions").get_json()["predictions"]


def received(caller: Caller) -> dict:
    return caller.get("/v1/received").get_json()


def send(caller: Caller, content: bytes) -> None:
    body, kind = related(content)
    answer = caller.client.post("/dicomweb/studies", data=body, content_type=kind, headers=caller.headers)
    assert answer.status_code == 200, answer.data


def take(services: Services, lease_s: float = 60.0):
    return services.store.queue.claim(lease_s, 0.01)


def test_a_film_gets_the_result_that_an_upload_gets(caller, services, worker):
    send(caller, film(1))
    assert received(caller)["waiting"] == 1
    worker.score(take(services))
    (result,) = results(caller)
    (uploaded,) = caller.sent((film(1), result["file"]))
    assert uploaded["id"] == result["id"] and len(results(caller)) == 1
    assert received(caller) == {"waiting": 0, "oldest_s": None, "failed": [], "failed_total": 0}
    send(caller, film(1))
    assert received(caller)["waiting"] == 0, "a film with a result is not scored again"


def uploads(services: Services) -> list[tuple[str, ...]]:
    """Who sent what, as the trail has it."""
    entries = [item["entry"] for item in services.store.trail.page(0, 20)]
    names = ("actor", "kind", "outcome", "subject", "detail")
    return [tuple(each[name] for name in names) for each in entries if each["act"] == "upload"]


@pytest.mark.parametrize(
    ("title", "said"), [("CR1", ", calling AE title CR1"), ("", ""), ("\u00fc" * 20, f", calling AE title {'_' * 16}")]
)
def test_the_trail_says_how_the_sender_called_itself(caller, services, worker, title, said):
    caller.headers |= {"X-Pneumo-Calling": title}
    send(caller, film(1))
    worker.score(take(services))
    assert uploads(services) == [("received", "stack", "done", results(caller)[0]["id"], f"DICOM{said}")]


def test_the_trail_names_the_token_that_sent_a_film_and_believes_no_title_of_it(caller, services, worker):
    answer = caller.client.post("/v1/tokens", json={"name": "pacs", "scopes": ["dicom"]}, headers=caller.headers)
    client = Caller(caller.client, answer.get_json()["token"])
    client.headers |= {"X-Pneumo-Calling": "CR1"}
    send(client, film(1))
    worker.score(take(services))
    assert uploads(services) == [("pacs", "token", "done", results(caller)[0]["id"], "DICOM")]


def test_a_film_that_is_tried_again_is_recorded_and_keeps_its_sender(caller, services, worker):
    caller.headers |= {"X-Pneumo-Calling": "CR1"}
    send(caller, film(1))
    claim = take(services)
    services.store.queue.fail(claim, "x", "y")
    path = f"/v1/received/{claim.id}/retry"
    assert caller.client.post(path, headers=caller.headers).status_code == 204
    worker.score(take(services))
    begun, again, sent = uploads(services)
    assert begun[2] == "begun" and again == ("stack", "stack", "done", claim.id, "received film, tried again")
    assert sent[4] == "DICOM, calling AE title CR1"


def test_a_film_has_the_study_of_an_upload_and_an_entry_of_the_trail(caller, services, worker):
    send(caller, film(1))
    claim = take(services)
    worker.score(claim)
    (result,) = results(caller)
    caller.sent((film(2), "uploaded.dcm"))
    received, uploaded = (caller.get(f"/v1/predictions/{each['id']}/source").get_json() for each in results(caller))
    assert received["study"] and received["study"] == uploaded["study"]
    entries = [item["entry"] for item in services.store.trail.page(0, 10)]
    first = next(each for each in entries if each["act"] == "upload")
    assert (first["actor"], first["request"], first["subject"]) == ("received", claim.id, result["id"])
    said = json.dumps(entries)
    assert not any(word in said for word in (PATIENT, "4711", UID.format(1), UID.format("1.1"), claim.file))


def test_a_picture_that_is_not_suitable_gets_a_refusal(caller, services, worker):
    send(caller, film(1, size=8))
    worker.score(take(services))
    (result,) = results(caller)
    assert result["finding"] is None and result["refusal"] and received(caller)["failed_total"] == 0


def test_a_film_whose_result_was_stored_before_the_process_died_has_one_result(caller, services, worker, monkeypatch):
    send(caller, film(1))
    monkeypatch.setattr(type(services.store.queue), "finish", lambda *_: None)
    worker.score(take(services))
    monkeypatch.undo()
    worker.score(take(services, lease_s=0))
    assert len(results(caller)) == 1 and received(caller)["waiting"] == 0


@pytest.mark.parametrize("dies", [True, False])
def test_a_film_with_a_result_becomes_no_error_whatever_fails_after_it(caller, services, worker, monkeypatch, dies):
    def fail(*_, **__):
        raise ArithmeticError

    send(caller, film(1))
    monkeypatch.setattr(*((type(services.store.queue), "finish") if dies else (intake.sources, "of")), fail)
    for _ in range(ATTEMPTS - 1):
        worker.score(take(services, lease_s=0))
    if dies:
        take(services, lease_s=0)
        monkeypatch.undo()
    worker.score(take(services, lease_s=0))
    assert (len(results(caller)), received(caller)["failed_total"], received(caller)["waiting"]) == (1, 0, 0)


def test_a_film_that_kills_its_process_three_times_becomes_an_error(caller, services, worker, monkeypatch):
    send(caller, film(1))
    for _ in range(ATTEMPTS):
        assert take(services, lease_s=0)  # and dies
    monkeypatch.setattr(Scorer, "score", lambda *_: pytest.fail("it must not be scored again"))
    worker.score(take(services, lease_s=0))
    document = received(caller)
    assert (document["waiting"], document["failed_total"], results(caller)) == (0, 1, [])
    assert document["failed"][0]["code"] == "scoring-died"
    assert (
        b'pneumo_predictions_total{model="' in (metrics := caller.get("/metrics").data)
        and b'outcome="error"' in metrics
    )
    monkeypatch.undo()

    identifier = document["failed"][0]["id"]
    answer = caller.client.post(f"/v1/received/{identifier}/retry", headers=caller.headers)
    assert answer.status_code == 204
    worker.score(take(services))
    assert len(results(caller)) == 1 and received(caller)["failed_total"] == 0


def test_an_error_of_the_program_is_tried_three_times(caller, services, worker, monkeypatch, caplog):
    def broken(*_):
        raise ArithmeticError(PATIENT)

    monkeypatch.setattr(Scorer, "score", broken)
    send(caller, film(1))
    for attempt in range(1, ATTEMPTS + 1):
        assert received(caller)["failed_total"] == 0, attempt
        worker.score(take(services, lease_s=0))
    (error,) = received(caller)["failed"]
    assert error["code"] == "internal" and PATIENT not in caplog.text and not results(caller)
    assert caller.client.delete(f"/v1/received/{error['id']}", headers=caller.headers).status_code == 204
    assert received(caller)["failed_total"] == 0
    assert caller.client.delete(f"/v1/received/{error['id']}", headers=caller.headers).status_code == 404


def test_a_store_that_is_away_is_no_error_of_the_film(caller, services, worker, monkeypatch):
    def away(*_):
        raise StoreUnavailable("away")

    send(caller, film(1))
    monkeypatch.setattr(Store, "put", away)
    for _ in range(2 * ATTEMPTS):
        with pytest.raises(StoreUnavailable):
            worker.score(take(services, lease_s=0))
    monkeypatch.undo()
    claim = take(services, lease_s=0)
    assert claim.deliveries == 1
    worker.score(claim)
    assert len(results(caller)) == 1


def test_damage_becomes_an_error(caller, services, worker, redis_server):
    send(caller, film(1))
    claim = take(services)
    redis_server.client().append(f"pneumo:1:received:{claim.id}", b"x")
    worker.score(claim)
    assert received(caller)["failed"][0]["code"] == "film-damaged" and not results(caller)


def test_an_app_scores_what_it_receives_until_it_ends(config):
    app = api.create_app(config | {"SCORE_RECEIVED": "yes"})
    caller = Caller(app.test_client())
    try:
        send(caller, film(1))
        deadline = time.monotonic() + 60
        while not results(caller) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(results(caller)) == 1
    finally:
        app.extensions["received"].set()
    for thread in threading.enumerate():
        if thread.name == "received":
            thread.join(60)
            assert not thread.is_alive()


def test_a_release_check_scores_no_received_film(config):
    app = api.create_app(config | {"SCORE_RECEIVED": "yes", "ERASE_EXPIRED": "no"})
    assert "received" not in app.extensions


def test_what_became_of_films_needs_the_token(caller):
    for method, path in (("GET", ""), ("POST", "/" + "0" * 32 + "/retry"), ("DELETE", "/" + "0" * 32)):
        assert caller.client.open("/v1/received" + path, method=method).status_code == 401
