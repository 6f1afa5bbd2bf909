"""Damaged records, a lost Redis, failing files and bursts give problem documents, and never a finding."""

import json
import threading
import time
from types import SimpleNamespace

from tests.webapp.api.answers import problem
from tests.webapp.conftest import Caller
from tests.webapp.servers import unreachable_redis
from webapp import api
from webapp.api import intake
from webapp.api.classifier import Scorer
from webapp.api.storage.records import Record


def test_a_damaged_record_is_an_error_and_no_finding(caller, clear_picture, opaque_picture, redis_server):
    whole, hurt = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"))
    key, client = f"pneumo:1:record:{hurt['id']}", redis_server.client()
    client.set(key, client.get(key).replace(b'"pneumonia"', b'"nneumonia"'))
    document = problem(caller.get(f"/v1/predictions/{hurt['id']}"), 500, "record-damaged")
    assert "nneumonia" not in json.dumps(document)
    page = caller.get("/v1/predictions").get_json()
    assert [each["id"] for each in page["predictions"]] == [whole["id"]]
    assert [each["id"] for each in page["damaged"]] == [hurt["id"]]
    assert page["damaged"][0]["error"]["code"] == "record-damaged"
    problem(caller.send((opaque_picture, "b.png")), 500, "record-damaged")


def test_one_failure_does_not_fail_the_others(caller, clear_picture, opaque_picture, monkeypatch):
    whole = Scorer.score

    def score(self, content, file, film_bytes=0):
        if file == "bad.png":
            raise ArithmeticError("secret-of-bad.png")
        return whole(self, content, file, film_bytes)

    monkeypatch.setattr(Scorer, "score", score)
    answer = caller.send((clear_picture, "a.png"), (clear_picture, "bad.png"), (opaque_picture, "b.png"))
    assert answer.status_code == 207
    document = answer.get_json()
    assert [each["file"] for each in document["predictions"]] == ["a.png", "b.png"]
    (error,) = document["errors"]
    assert (error["file"], error["position"], error["error"]["code"]) == ("bad.png", 1, "internal")
    assert error["error"]["detail"] == "An internal error occurred. This request or file has no result."
    assert b"secret" not in answer.data
    problem(caller.send((clear_picture, "bad.png")), 500, "internal")
    assert caller.get("/v1/predictions").get_json()["total"] == 2


def test_a_prediction_that_was_not_stored_is_not_returned(caller, clear_picture, opaque_picture, monkeypatch):
    """Redis fails after the first of two files: the second has no finding."""
    services = caller.client.application.extensions["pneumo"]
    put = services.store.put

    def first_only(record: Record, *more: object) -> Record:
        if record.prediction["file"] == "b.png":
            services.store._redis = unreachable_redis()
        return put(record, *more)

    monkeypatch.setattr(services.store, "put", first_only)
    answer = caller.send((clear_picture, "a.png"), (opaque_picture, "b.png"))
    assert answer.status_code == 207
    assert [each["file"] for each in answer.get_json()["predictions"]] == ["a.png"]
    assert answer.get_json()["errors"][0]["error"]["code"] == "store-unavailable"


def test_requests_fail_without_redis_and_succeed_when_it_returns(own_redis, config, clear_picture):
    caller = Caller(api.create_app({**config, "REDIS_PORT": own_redis.port}).test_client())
    (document,) = caller.sent((clear_picture, "a.png"))
    own_redis.kill()
    for answer in (
        caller.send((clear_picture, "b.png")),
        caller.get("/v1/predictions"),
        caller.get(f"/v1/predictions/{document['id']}"),
        caller.get(f"/v1/predictions/{document['id']}/image.png"),
    ):
        problem(answer, 503, "store-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert b"finding" not in answer.data
    own_redis.start()
    assert caller.get(f"/v1/predictions/{document['id']}").get_json() == document
    assert caller.sent((clear_picture, "b.png"))


def test_uploads_over_the_limit_are_busy(config, clear_picture, monkeypatch):
    app = api.create_app({**config, "MAX_PENDING": 2, "MAX_SCORING": 1, "MAX_WAIT": 20})
    inside, leave = threading.Semaphore(0), threading.Event()
    whole = Scorer.score

    def slow(self, content, file, film_bytes=0):
        inside.release()
        assert leave.wait(120)
        return whole(self, content, file, film_bytes)

    monkeypatch.setattr(Scorer, "score", slow)
    answers = []
    senders = [
        threading.Thread(target=lambda: answers.append(Caller(app.test_client()).send((clear_picture, "a.png"))))
        for _ in range(2)
    ]
    for sender in senders:
        sender.start()
    assert inside.acquire(timeout=120)
    services = app.extensions["pneumo"]
    while services.uploads._slots._value:
        pass  # until the second upload holds a slot, too
    third = Caller(app.test_client()).send((clear_picture, "c.png"))
    problem(third, 503, "busy")
    assert int(third.headers["Retry-After"]) > 0
    assert Caller(app.test_client()).get("/v1/predictions").status_code == 200
    leave.set()
    for sender in senders:
        sender.join()
    assert [answer.status_code for answer in answers] == [201, 201]
    assert Caller(app.test_client()).send((clear_picture, "c.png")).status_code == 201


def test_a_file_that_waits_too_long_is_busy(config, clear_picture):
    app = api.create_app({**config, "MAX_SCORING": 1, "MAX_WAIT": 0.01})
    with app.extensions["pneumo"].scoring.slot():
        problem(Caller(app.test_client()).send((clear_picture, "a.png")), 503, "busy")


def test_files_not_started_in_time_are_errors_beside_the_findings(config, clear_picture, opaque_picture, monkeypatch):
    app = api.create_app(config)
    score, clock = Scorer.score, [0.0]

    def slow(self, content, file, film_bytes=0):
        clock[0] += 60  # more than MAX_ANSWER
        return score(self, content, file)

    monkeypatch.setattr(Scorer, "score", slow)
    monkeypatch.setattr(intake, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    answer = Caller(app.test_client()).send((clear_picture, "a.png"), (clear_picture, "b.png"), (b"x", "c.png"))
    assert answer.status_code == 207
    document = answer.get_json()
    assert [(each["file"], each["finding"]) for each in document["predictions"]] == [("a.png", "no pneumonia")]
    errors = [(each["file"], each["position"], each["error"]["code"]) for each in document["errors"]]
    assert errors == [("b.png", 1, "busy"), ("c.png", 2, "busy")]
    assert Caller(app.test_client()).get("/v1/predictions").get_json()["total"] == 1


def test_all_waits_of_a_request_share_one_deadline(config, clear_picture):
    app = api.create_app({**config, "MAX_SCORING": 1, "MAX_WAIT": 20, "MAX_ANSWER": 0.3})
    files = [(clear_picture, f"{number}.png") for number in range(5)]
    start = time.monotonic()
    with app.extensions["pneumo"].scoring.slot():
        answer = Caller(app.test_client()).send(*files)
    assert time.monotonic() - start < 20  # the time that one file would wait without the deadline
    problem(answer, 503, "busy")
    assert int(answer.headers["Retry-After"]) > 0
