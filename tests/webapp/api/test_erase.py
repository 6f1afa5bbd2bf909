"""Results are erased through the API, and expired ones by the API itself."""

import threading
import time

from tests.webapp.api.answers import problem
from tests.webapp.api.records import put, record, settings
from tests.webapp.conftest import Caller
from webapp import api
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.store import Store


def erase(caller: Caller, identifier: str):
    """DELETE with the token."""
    return caller.client.delete(f"/v1/predictions/{identifier}", headers=caller.headers)


def test_an_erased_result_is_404_with_words_everywhere(caller, clear_picture, opaque_picture):
    kept, gone = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"))
    path = f"/v1/predictions/{gone['id']}"
    caller.client.post(f"{path}/feedback", json={"label": "unsure"}, headers=caller.headers)
    assert caller.get(f"{path}/heatmap.png").status_code == 200
    assert erase(caller, gone["id"]).status_code == 204
    for part in ("", "/image.png", "/heatmap.png", "/feedback"):
        document = problem(caller.get(path + part), 404, "not-found")
        assert document["detail"] == "This result was erased: its picture and its reviews, too."
    page = caller.get("/v1/predictions").get_json()
    assert ([each["id"] for each in page["predictions"]], page["damaged"], page["total"]) == ([kept["id"]], [], 1)
    assert erase(caller, gone["id"]).status_code == 204
    problem(erase(caller, "0" * 32), 404, "not-found")
    assert 'pneumo_erased_total{reason="request"} 1.0' in caller.client.get("/metrics").get_data(as_text=True)


def test_erasing_needs_the_token(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    problem(caller.client.delete(f"/v1/predictions/{document['id']}"), 401, "unauthorized")
    assert caller.get(f"/v1/predictions/{document['id']}").status_code == 200


def test_a_film_that_is_stored_right_after_nothing_was_found_is_not_called_erased(caller, clear_picture, monkeypatch):
    (document,) = caller.sent((clear_picture, "a.png"))
    monkeypatch.setattr("webapp.api.storage.erasure.Eraser.erase", lambda *_: "unknown")
    problem(erase(caller, document["id"]), 404, "not-found")
    assert caller.get(f"/v1/predictions/{document['id']}").status_code == 200


def test_an_upload_to_a_host_with_a_wrong_clock_is_an_error(config, clear_picture, monkeypatch):
    monkeypatch.setattr("webapp.api.storage.erasure.Eraser.redis_time", lambda _: time.time() + 2 * 86400)
    app = api.create_app({**config, "RETENTION_DAYS": "1", "ERASE_EXPIRED": "no"})
    caller = Caller(app.test_client())
    refused = problem(caller.send((clear_picture, "a.png")), 503, "clock-wrong")
    assert "nothing was stored" in refused["detail"].replace("\n", " ")
    assert caller.get("/v1/predictions").get_json()["predictions"] == []


def test_the_api_erases_what_has_expired_by_itself(config, own_redis, clear_picture, monkeypatch):
    monkeypatch.setattr("webapp.api.expiry._POLL_SECONDS", 0.02)
    store, client = Store.open(settings(own_redis.port)), own_redis.client()
    put(store, record(1))  # of January 2026
    client.delete(*client.keys("pneumo:1:index:*"))  # it is in no list any more
    put(store, record(2))
    app = api.create_app({**config, "REDIS_PORT": own_redis.port, "RETENTION_DAYS": "1"})
    caller = Caller(app.test_client())
    deadline = time.monotonic() + 120
    while client.keys("pneumo:1:[^c]*"):  # all but the ids of what has changed
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (document,) = caller.sent((clear_picture, "a.png"))  # made now: it stays
    assert caller.get(f"/v1/predictions/{document['id']}").get_json() == document
    app.extensions["expiry"].set()


def test_a_look_at_every_record_that_failed_is_begun_again(config, monkeypatch):
    monkeypatch.setattr("webapp.api.expiry._POLL_SECONDS", 0.001)
    monkeypatch.setattr("webapp.api.expiry._RETRY_SECONDS", 0.0)
    looks, ended = iter((StoreUnavailable("away"), StoreUnavailable("away"), 0)), threading.Event()

    def look(_) -> int:
        if isinstance(found := next(looks), Exception):
            raise found
        ended.set()
        return found

    monkeypatch.setattr("webapp.api.storage.erasure.Eraser.erase_unlisted", look)
    app = api.create_app({**config, "RETENTION_DAYS": "1"})
    assert ended.wait(60)
    app.extensions["expiry"].set()
