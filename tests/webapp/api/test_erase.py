"""Results are erased through the API, and expired ones by the API itself."""

import time

from tests.webapp.api.answers import problem
from tests.webapp.api.records import put, record, settings
from tests.webapp.conftest import Caller
from webapp import api
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


def test_the_api_erases_what_has_expired_by_itself(config, redis_server, clear_picture, monkeypatch):
    monkeypatch.setattr("webapp.api.expiry._POLL_SECONDS", 0.02)
    put(Store.open(settings(redis_server.port)), record(1))  # of January 2026
    client = redis_server.client()
    assert client.exists(f"pneumo:1:record:{1:032x}")
    caller = Caller(api.create_app({**config, "RETENTION_DAYS": "1"}).test_client())
    deadline = time.monotonic() + 120
    while client.keys(f"pneumo:1:*{1:032x}") or client.zcard("pneumo:1:index:time:all"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (document,) = caller.sent((clear_picture, "a.png"))  # made now: it stays
    assert caller.get(f"/v1/predictions/{document['id']}").get_json() == document
