"""The API's routes: what comes in, what comes out, and that no failure looks like a finding."""

import json
import struct
import threading
import zlib
from io import BytesIO

import pytest
from PIL import Image

from tests.webapp.conftest import Caller
from tests.webapp.servers import nobody
from webapp import api
from webapp.api.classifier import Scorer
from webapp.api.store import Record

UNKNOWN = "0" * 32


def problem(answer, status: int, code: str) -> dict:
    """The answer's problem document, which must be whole."""
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    document = answer.get_json()
    assert set(document) == {"type", "title", "status", "detail", "code", "instance"}
    assert (document["status"], document["code"]) == (status, code)
    assert document["instance"].endswith(answer.headers["X-Request-ID"])
    return document


def claims_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is of that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 4096)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_each_file_has_a_finding_or_a_refusal_in_the_order_sent(caller, clear_picture, opaque_picture):
    clear, opaque, broken = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    assert (clear["finding"], opaque["finding"]) == ("no pneumonia", "pneumonia")
    assert clear["probability"] < clear["threshold"] <= opaque["probability"]
    assert (broken["finding"], broken["probability"]) == (None, None)
    assert broken["refusal"]["code"] == "unreadable"
    assert [each["file"] for each in (clear, opaque, broken)] == ["a.png", "b.png", "c.png"]
    for each in (clear, opaque, broken):
        assert caller.get(f"/v1/predictions/{each['id']}").get_json() == each


def test_the_same_again_gives_the_first_record(caller, clear_picture):
    (first,) = caller.sent((clear_picture, "a.png"))
    (again,) = caller.sent((clear_picture, "a.png"))
    (other,) = caller.sent((clear_picture, "b.png"))
    assert again == first
    assert other["id"] != first["id"]
    assert caller.get("/v1/predictions").get_json()["total"] == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong-token-of-tests"},
        {"Authorization": "Bearer a-token-of-tests-onl"},
        {"Authorization": "Bearer a-token-of-tests-only2"},
        {"Authorization": "Basic a-token-of-tests-only"},
        {"Authorization": "Bearer \xe4\xf6"},
    ],
)
def test_without_the_token_nothing(caller, headers, clear_picture):
    for path in ("/v1/predictions", f"/v1/predictions/{UNKNOWN}", f"/v1/predictions/{UNKNOWN}/image.png"):
        answer = caller.client.get(path, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    sent = caller.client.post("/v1/predictions", data={"file": (BytesIO(clear_picture), "a.png")}, headers=headers)
    problem(sent, 401, "unauthorized")
    assert caller.get("/v1/predictions").get_json()["total"] == 0


def test_the_token_is_compared_in_constant_time(caller, monkeypatch):
    compared = []
    monkeypatch.setattr("webapp.api.views.hmac.compare_digest", lambda one, two: compared.append((one, two)) or True)
    assert caller.client.get("/v1/predictions", headers={"Authorization": "Bearer x"}).status_code == 200
    assert compared == [(b"x", b"a-token-of-tests-only")]


def test_no_file_at_all(caller):
    problem(caller.send(), 400, "no-file")
    problem(caller.send((b"", "")), 400, "no-file")
    problem(caller.client.post("/v1/predictions", data=b"raw", headers=caller.headers), 400, "no-file")


def test_an_empty_file_is_refused_and_not_forgotten(caller):
    (empty,) = caller.sent((b"", "empty.png"))
    assert empty["refusal"]["code"] == "unreadable"


def test_too_many_files(caller):
    problem(caller.send(*((b"x", f"{number}.png") for number in range(21))), 413, "too-many-files")
    problem(caller.send(*((b"x", f"{number}.png") for number in range(200))), 413, "request-entity-too-large")


def test_too_many_bytes(config):
    small = Caller(api.create_app({**config, "MAX_UPLOAD_MB": 1}).test_client())
    problem(small.send((b"x" * 2_000_000, "a.png")), 413, "request-entity-too-large")
    assert len(small.sent((b"x" * 1_000_000, "a.png"))) == 1


@pytest.mark.parametrize("size", [(60_000, 60_000), (2_147_483_647, 2_147_483_647), (64_001_000, 1)])
def test_a_pixel_bomb_is_refused_by_its_header(caller, size):
    (bomb,) = caller.sent((claims_png(*size), "bomb.png"))
    assert bomb["finding"] is None
    assert bomb["refusal"]["code"] in ("too_large", "unreadable")


def test_a_photograph_is_kept_but_not_assessed(caller):
    red = Image.merge("RGB", [Image.new("L", (300, 300), value) for value in (240, 10, 10)])
    out = BytesIO()
    red.save(out, "PNG")
    (refused,) = caller.sent((out.getvalue(), "red.png"))
    assert refused["refusal"]["code"] == "not_an_xray"
    assert caller.get(f"/v1/predictions/{refused['id']}/image.png").status_code == 200
    problem(caller.get(f"/v1/predictions/{refused['id']}/heatmap.png"), 404, "no-heatmap")


@pytest.mark.parametrize(
    "identifier",
    [UNKNOWN, "..%2f..%2fetc%2fpasswd", "../" * 5, "A" * 32, "0" * 31, "0" * 33, "*", "0" * 31 + "%0a", "%00" * 32],
)
@pytest.mark.parametrize("what", ["", "/image.png", "/heatmap.png", "/feedback"])
def test_ids_that_are_none(caller, identifier, what):
    answer = caller.get(f"/v1/predictions/{identifier}{what}")
    problem(answer, 404, "not-found")


def test_hostile_file_names_are_text_only(caller, clear_picture):
    names = ("../../x.png", "a\tb  c.png", "<script>.png", "\u202egnp.exe", "é" * 300 + ".png")
    kept = [each["file"] for each in caller.sent(*((clear_picture, name) for name in names))]
    assert kept[0] == "x.png"
    assert kept[3] == "gnp.exe"
    assert all(name.isprintable() and "/" not in name and len(name) <= 120 for name in kept)


def test_the_list_is_paged_ordered_and_filtered(caller, clear_picture, opaque_picture):
    files = [(clear_picture, "1"), (opaque_picture, "2"), (b"x", "3"), (clear_picture, "4"), (opaque_picture, "5")]
    for each in files:
        caller.sent(each)

    def names(query: str) -> tuple[list[str], str | None, int]:
        page = caller.get(f"/v1/predictions?{query}").get_json()
        return [each["file"] for each in page["predictions"]], page["next"], page["total"]

    first, cursor, total = names("limit=2")
    assert (first, total) == (["5", "4"], 5)
    second, cursor, _ = names(f"limit=2&cursor={cursor}")
    third, cursor, _ = names(f"limit=2&cursor={cursor}")
    assert (second, third, cursor) == (["3", "2"], ["1"], None)
    assert names("finding=no pneumonia")[0] == ["4", "1"]
    assert names("finding=refused")[0] == ["3"]
    assert names("order=probability")[0][-1] == "3"
    assert set(names("order=probability&finding=pneumonia")[0]) == {"2", "5"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("order=name", "bad-order"),
        ("finding=healthy", "bad-finding"),
        ("limit=0", "bad-limit"),
        ("limit=101", "bad-limit"),
        ("limit=-1", "bad-limit"),
        ("limit=ten", "bad-limit"),
        ("limit=²", "bad-limit"),
        ("limit=" + "9" * 5000, "bad-limit"),
        ("cursor=rubbish", "bad-cursor"),
        ("cursor=", "bad-cursor"),
        ("cursor=%00", "bad-cursor"),
    ],
)
def test_bad_parameters_of_the_list(caller, query, code):
    problem(caller.get(f"/v1/predictions?{query}"), 400, code)


def test_picture_and_heatmap(caller, opaque_picture, redis_server, monkeypatch):
    (document,) = caller.sent((opaque_picture, "a.png"))
    for name, mode in (("image", "L"), ("heatmap", "RGB")):
        answer = caller.get(f"/v1/predictions/{document['id']}/{name}.png")
        shown = Image.open(BytesIO(answer.data))
        assert (answer.mimetype, shown.format, shown.mode, shown.size) == ("image/png", "PNG", mode, (192, 192))
    monkeypatch.setattr(Scorer, "heatmap", lambda *_: pytest.fail("computed although it is kept"))
    assert caller.get(f"/v1/predictions/{document['id']}/heatmap.png").data == answer.data


def test_no_other_model_explains_a_prediction(caller, opaque_picture, monkeypatch):
    (document,) = caller.sent((opaque_picture, "a.png"))
    monkeypatch.setattr(Scorer, "version", "another")
    problem(caller.get(f"/v1/predictions/{document['id']}/heatmap.png"), 409, "model-changed")


def test_feedback(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    path = f"/v1/predictions/{document['id']}/feedback"
    assert caller.get(path).get_json() == {"feedback": [], "damaged": 0}
    said = caller.client.post(path, json={"label": "pneumonia", "comment": "left base"}, headers=caller.headers)
    assert said.status_code == 201
    assert caller.get(path).get_json()["feedback"] == [said.get_json()]
    assert caller.get(f"/v1/predictions/{document['id']}").get_json() == document
    nobody = caller.client.post(f"/v1/predictions/{UNKNOWN}/feedback", json={"label": "unsure"}, headers=caller.headers)
    problem(nobody, 404, "not-found")


@pytest.mark.parametrize(
    "said",
    [None, [], "text", {}, {"label": "healed"}, {"label": []}, {"label": "unsure", "comment": 5},
     {"label": "unsure", "comment": "x" * 501}, {"label": "unsure", "more": 1}],
)  # fmt: skip
def test_feedback_that_is_none(caller, clear_picture, said):
    (document,) = caller.sent((clear_picture, "a.png"))
    path = f"/v1/predictions/{document['id']}/feedback"
    problem(caller.client.post(path, json=said, headers=caller.headers), 400, "bad-feedback")


def test_a_damaged_record_is_an_error_and_no_finding(caller, clear_picture, opaque_picture, redis_server):
    whole, hurt = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"))
    key, client = f"pneumo:1:record:{hurt['id']}", redis_server.client()
    client.set(key, client.get(key).replace(b'"pneumonia"', b'"nneumonia"'))
    found = problem(caller.get(f"/v1/predictions/{hurt['id']}"), 500, "record-damaged")
    assert "nneumonia" not in json.dumps(found)
    page = caller.get("/v1/predictions").get_json()
    assert [each["id"] for each in page["predictions"]] == [whole["id"]]
    assert [each["id"] for each in page["damaged"]] == [hurt["id"]]
    assert page["damaged"][0]["error"]["code"] == "record-damaged"
    problem(caller.send((opaque_picture, "b.png")), 500, "record-damaged")


def test_one_failure_does_not_fail_the_others(caller, clear_picture, opaque_picture, monkeypatch):
    whole = Scorer.score

    def score(self, content, file):
        if file == "bad.png":
            raise ArithmeticError("secret-of-bad.png")
        return whole(self, content, file)

    monkeypatch.setattr(Scorer, "score", score)
    answer = caller.send((clear_picture, "a.png"), (clear_picture, "bad.png"), (opaque_picture, "b.png"))
    assert answer.status_code == 207
    document = answer.get_json()
    assert [each["file"] for each in document["predictions"]] == ["a.png", "b.png"]
    (error,) = document["errors"]
    assert (error["file"], error["position"], error["error"]["code"]) == ("bad.png", 1, "internal")
    assert b"secret" not in answer.data
    problem(caller.send((clear_picture, "bad.png")), 500, "internal")
    assert caller.get("/v1/predictions").get_json()["total"] == 2


def test_what_is_not_stored_is_not_told(caller, clear_picture, opaque_picture, monkeypatch):
    """Redis goes away after the first of two files: the second has no finding."""
    services = caller.client.application.extensions["pneumo"]
    put = services.store.put

    def first_only(record: Record, picture: bytes | None) -> Record:
        if record.prediction["file"] == "b.png":
            services.store._redis = nobody()
        return put(record, picture)

    monkeypatch.setattr(services.store, "put", first_only)
    answer = caller.send((clear_picture, "a.png"), (opaque_picture, "b.png"))
    assert answer.status_code == 207
    assert [each["file"] for each in answer.get_json()["predictions"]] == ["a.png"]
    assert answer.get_json()["errors"][0]["error"]["code"] == "store-unavailable"


def test_redis_killed_and_back(own_redis, config, clear_picture):
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


def test_more_requests_than_places_are_told_to_wait(config, clear_picture, monkeypatch):
    app = api.create_app({**config, "MAX_PENDING": 2, "MAX_SCORING": 1, "MAX_WAIT": 20})
    inside, leave = threading.Semaphore(0), threading.Event()
    whole = Scorer.score

    def slow(self, content, file):
        inside.release()
        assert leave.wait(20)
        return whole(self, content, file)

    monkeypatch.setattr(Scorer, "score", slow)
    answers = []
    senders = [
        threading.Thread(target=lambda: answers.append(Caller(app.test_client()).send((clear_picture, "a.png"))))
        for _ in range(2)
    ]
    for sender in senders:
        sender.start()
    assert inside.acquire(timeout=10)
    services = app.extensions["pneumo"]
    while services.pending._places._value:
        pass  # until the second is let in as well
    third = Caller(app.test_client()).send((clear_picture, "c.png"))
    problem(third, 503, "busy")
    assert int(third.headers["Retry-After"]) > 0
    assert Caller(app.test_client()).get("/v1/predictions").status_code == 200
    leave.set()
    for sender in senders:
        sender.join()
    assert [answer.status_code for answer in answers] == [201, 201]
    assert Caller(app.test_client()).send((clear_picture, "c.png")).status_code == 201


def test_who_waits_too_long_for_a_turn_is_told_so(config, clear_picture):
    app = api.create_app({**config, "MAX_SCORING": 1, "MAX_WAIT": 0.01})
    with app.extensions["pneumo"].turns.held():
        problem(Caller(app.test_client()).send((clear_picture, "a.png")), 503, "busy")


def test_unknown_routes_and_methods(caller):
    problem(caller.get("/nothing"), 404, "not-found")
    problem(caller.client.delete("/v1/predictions", headers=caller.headers), 405, "method-not-allowed")


def test_every_answer_says_that_it_is_not_to_be_kept(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    for path in ("/v1/predictions", f"/v1/predictions/{document['id']}/image.png", "/livez", "/nothing"):
        headers = caller.get(path).headers
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_a_request_id_is_passed_on_only_if_it_is_one(caller):
    given = "ab" * 16
    assert caller.client.get("/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given
    other = caller.client.get("/livez", headers={"X-Request-ID": "../evil"}).headers["X-Request-ID"]
    assert len(other) == 32
    assert other != given
