"""The API's routes: requests and responses."""

from io import BytesIO
from unittest.mock import Mock

import pytest
from PIL import Image

from tests.webapp.api.answers import claims_png, problem
from tests.webapp.conftest import Caller
from webapp import api
from webapp.api.classifier import Scorer
from webapp.api.storage.errors import NotRead

UNKNOWN = "0" * 32


def test_each_file_has_a_finding_or_a_refusal_in_the_order_sent(caller, clear_picture, opaque_picture):
    clear, opaque, broken = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    assert (clear["finding"], opaque["finding"]) == ("no pneumonia", "pneumonia")
    assert clear["probability"] < clear["threshold"] <= opaque["probability"]
    assert (broken["finding"], broken["probability"]) == (None, None)
    assert broken["refusal"]["code"] == "unreadable"
    assert [each["file"] for each in (clear, opaque, broken)] == ["a.png", "b.png", "c.png"]
    for each in (clear, opaque, broken):
        assert caller.get(f"/v1/predictions/{each['id']}").get_json() == each


def test_sending_a_file_again_returns_the_first_record(caller, clear_picture):
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
def test_requests_without_the_token_are_rejected(caller, headers, clear_picture):
    for path in ("/v1/predictions", f"/v1/predictions/{UNKNOWN}", f"/v1/predictions/{UNKNOWN}/image.png"):
        answer = caller.client.get(path, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    sent = caller.client.post("/v1/predictions", data={"file": (BytesIO(clear_picture), "a.png")}, headers=headers)
    problem(sent, 401, "unauthorized")
    assert caller.get("/v1/predictions").get_json()["total"] == 0


def test_the_token_is_compared_in_constant_time(caller, monkeypatch):
    compared = []
    monkeypatch.setattr(
        "webapp.api.authentication.hmac.compare_digest", lambda one, two: compared.append((one, two)) or True
    )
    assert caller.client.get("/v1/predictions", headers={"Authorization": "Bearer x"}).status_code == 200
    assert compared == [(b"x", b"a-token-of-tests-only")]


def test_a_request_without_files_is_rejected(caller):
    problem(caller.send(), 400, "no-file")
    problem(caller.send((b"", "")), 400, "no-file")
    problem(caller.client.post("/v1/predictions", data=b"raw", headers=caller.headers), 400, "no-file")


def test_an_empty_file_is_a_stored_refusal(caller):
    (empty,) = caller.sent((b"", "empty.png"))
    assert empty["refusal"]["code"] == "unreadable"


def test_too_many_files_are_rejected(caller):
    problem(caller.send(*((b"x", f"{number}.png") for number in range(21))), 413, "too-many-files")
    sent = caller.send(*((b"x", f"{number}.png") for number in range(200)))
    # The same in each version of Python: HTTPStatus calls it "Content Too Large" in 3.13.
    assert problem(sent, 413, "request-entity-too-large")["title"] == "Request Entity Too Large"


def test_too_many_bytes_are_rejected(config):
    small = Caller(api.create_app({**config, "MAX_UPLOAD_MB": 1}).test_client())
    problem(small.send((b"x" * 2_000_000, "a.png")), 413, "request-entity-too-large")
    assert len(small.sent((b"x" * 1_000_000, "a.png"))) == 1


@pytest.mark.parametrize("size", [(60_000, 60_000), (2_147_483_647, 2_147_483_647), (64_001_000, 1)])
def test_a_pixel_bomb_is_refused_by_its_header(caller, size):
    (bomb,) = caller.sent((claims_png(*size), "bomb.png"))
    assert bomb["finding"] is None
    assert bomb["refusal"]["code"] in ("too_large", "unreadable")


def test_a_photograph_is_stored_but_not_assessed(caller):
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
@pytest.mark.parametrize("what", ["", "/image.png", "/thumbnail.png", "/heatmap.png", "/feedback", "/place"])
def test_invalid_ids_are_not_found(caller, identifier, what):
    answer = caller.get(f"/v1/predictions/{identifier}{what}")
    problem(answer, 404, "not-found")


def test_hostile_file_names_are_returned_as_text(caller, clear_picture):
    names = ("../../x.png", "a\tb  c.png", "<script>.png", "\u202egnp.exe", "é" * 300 + ".png")
    returned = [each["file"] for each in caller.sent(*((clear_picture, name) for name in names))]
    assert returned[0] == "x.png"
    assert returned[3] == "gnp.exe"
    assert all(name.isprintable() and "/" not in name and len(name) <= 120 for name in returned)


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
        ("q=", "bad-q"),
        ("q=+%09", "bad-q"),
        ("q=" + "x" * 121, "bad-q"),
        ("refusal=", "bad-refusal"),
        ("refusal=boring", "bad-refusal"),
        ("model=", "bad-model"),
        ("model=" + "v" * 101, "bad-model"),
        ("from=", "bad-from"),
        ("from=2026-02-30", "bad-from"),
        ("from=20260228", "bad-from"),
        ("to=2026-W01-1", "bad-to"),
        ("to=2026-01-01T00:00:00Z", "bad-to"),
        ("review=", "bad-review"),
        ("review=unsure", "bad-review"),
        ("findings=pneumonia", "unknown-parameter"),
        ("order=time&" + "x" * 500, "unknown-parameter"),
        ("cursor=rubbish", "bad-cursor"),
        ("cursor=", "bad-cursor"),
        ("cursor=%00", "bad-cursor"),
    ],
)
def test_bad_list_parameters_are_rejected(caller, clear_picture, query, code):
    problem(caller.get(f"/v1/predictions?{query}"), 400, code)
    if code not in ("bad-limit", "bad-cursor"):
        (document,) = caller.sent((clear_picture, "a.png"))
        problem(caller.get(f"/v1/predictions/{document['id']}/place?{query}"), 400, code)


def test_the_list_is_searched_and_filtered_by_everything_it_shows(caller, clear_picture, opaque_picture):
    clear, opaque, broken = caller.sent((clear_picture, "Ward 3 a.png"), (opaque_picture, "b.png"), (b"x", "ward c"))
    review = {"label": "pneumonia"}
    caller.client.post(f"/v1/predictions/{clear['id']}/feedback", json=review, headers=caller.headers)
    today = clear["created"][:10]

    def names(query: str) -> set[str]:
        return {each["file"] for each in caller.get(f"/v1/predictions?{query}").get_json()["predictions"]}

    assert names("q=WARD") == {"Ward 3 a.png", "ward c"}
    assert names("q=png%203") == {"Ward 3 a.png"}
    assert names("refusal=unreadable") == {"ward c"} and names("refusal=too_small") == set()
    assert len(names(f"model={clear['model']['version']}")) == 3 and names("model=other") == set()
    assert len(names(f"from={today}")) == 3 and names(f"to={today}&from=9999-12-31") == names("to=0001-01-01") == set()
    assert names("review=unread") == {"b.png", "ward c"}
    assert names("review=reviewed") == names("review=disagreement") == {"Ward 3 a.png"}
    page = caller.get("/v1/predictions").get_json()
    entries = dict(zip((each["file"] for each in page["predictions"]), page["entries"], strict=True))
    assert entries["Ward 3 a.png"] == {
        "picture": True,
        "review": "pneumonia",
        "review_damaged": False,
        "disagrees": True,
    }
    assert entries["ward c"] == {"picture": False, "review": None, "review_damaged": False, "disagrees": False}
    assert (page["first"], page["models"]) == (1, [clear["model"]["version"]])
    place = caller.get(f"/v1/predictions/{opaque['id']}/place?review=unread&order=probability").get_json()
    assert place == {"number": 1, "total": 2, "first": opaque["id"], "previous": None, "next": broken["id"]}
    problem(caller.get(f"/v1/predictions/{UNKNOWN}/place"), 404, "not-found")


def test_a_list_that_is_not_read_yet_is_no_empty_list(caller, clear_picture, monkeypatch):
    caller.sent((clear_picture, "a.png"))
    monkeypatch.setattr("webapp.api.storage.worklist.Worklist.rows", Mock(side_effect=NotRead(0, 0)))
    answer = caller.get("/v1/predictions?review=unread")
    assert "is being read" in problem(answer, 503, "list-not-read")["detail"]
    assert answer.headers["Retry-After"] == "5"
    assert len(caller.get("/v1/predictions").get_json()["predictions"]) == 1


def test_a_thumbnail_is_a_small_grey_picture(caller, opaque_picture):
    (document,) = caller.sent((opaque_picture, "a.png"))
    answer = caller.get(f"/v1/predictions/{document['id']}/thumbnail.png")
    shown = Image.open(BytesIO(answer.data))
    assert (answer.mimetype, shown.format, shown.mode, max(shown.size)) == ("image/png", "PNG", "L", 80)
    (refused,) = caller.sent((b"broken", "b.png"))
    problem(caller.get(f"/v1/predictions/{refused['id']}/thumbnail.png"), 404, "no-picture")


def test_picture_and_heatmap(caller, opaque_picture, redis_server, monkeypatch):
    (document,) = caller.sent((opaque_picture, "a.png"))
    for name, mode, width in (("image", "L", 192), ("heatmap", "RGB", 512)):
        answer = caller.get(f"/v1/predictions/{document['id']}/{name}.png")
        shown = Image.open(BytesIO(answer.data))
        assert (answer.mimetype, shown.format, shown.mode, shown.width) == ("image/png", "PNG", mode, width)
        assert (shown.height > shown.width) == (name == "heatmap")  # the legend is below the map
    monkeypatch.setattr(Scorer, "heatmap", lambda *_: pytest.fail("computed although it is kept"))
    assert caller.get(f"/v1/predictions/{document['id']}/heatmap.png").data == answer.data


def test_a_heat_map_by_another_model_is_refused(caller, opaque_picture, monkeypatch):
    (document,) = caller.sent((opaque_picture, "a.png"))
    monkeypatch.setattr(Scorer, "version", "another")
    problem(caller.get(f"/v1/predictions/{document['id']}/heatmap.png"), 409, "model-changed")


def test_feedback(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    path = f"/v1/predictions/{document['id']}/feedback"
    assert caller.get(path).get_json() == {"feedback": [], "damaged": 0}
    response = caller.client.post(path, json={"label": "pneumonia", "comment": "left base"}, headers=caller.headers)
    assert response.status_code == 201
    assert caller.get(path).get_json()["feedback"] == [response.get_json()]
    assert caller.get(f"/v1/predictions/{document['id']}").get_json() == document
    nobody = caller.client.post(f"/v1/predictions/{UNKNOWN}/feedback", json={"label": "unsure"}, headers=caller.headers)
    problem(nobody, 404, "not-found")


def test_feedback_is_withdrawn_and_what_is_sent_twice_is_stored_once(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    path = f"/v1/predictions/{document['id']}/feedback"
    first, second = (caller.client.post(path, json={"label": "unsure"}, headers=caller.headers) for _ in range(2))
    assert first.status_code == second.status_code == 201 and first.get_json() == second.get_json()
    assert caller.get(path).get_json()["feedback"] == [first.get_json()] and first.get_json()["withdrawn"] is None
    address = f"{path}/{first.get_json()['id']}/withdrawal"
    done = caller.client.post(address, headers=caller.headers)
    assert done.status_code == 200 and done.get_json()["withdrawn"]
    assert caller.client.post(address, headers=caller.headers).get_json() == done.get_json()
    assert caller.get(path).get_json()["feedback"] == [done.get_json()]
    problem(caller.client.post(f"{path}/{UNKNOWN}/withdrawal", headers=caller.headers), 404, "not-found")
    problem(caller.client.post(address), 401, "unauthorized")


@pytest.mark.parametrize(
    "feedback",
    [None, [], "text", {}, {"label": "healed"}, {"label": []}, {"label": "unsure", "comment": 5},
     {"label": "unsure", "comment": "x" * 501}, {"label": "unsure", "more": 1}],
)  # fmt: skip
def test_bad_feedback_is_rejected(caller, clear_picture, feedback):
    (document,) = caller.sent((clear_picture, "a.png"))
    path = f"/v1/predictions/{document['id']}/feedback"
    problem(caller.client.post(path, json=feedback, headers=caller.headers), 400, "bad-feedback")


def test_unknown_routes_and_methods(caller):
    problem(caller.get("/nothing"), 404, "not-found")
    refused = caller.client.delete("/v1/predictions", headers=caller.headers)
    problem(refused, 405, "method-not-allowed")
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_every_response_forbids_caching(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "a.png"))
    for path in ("/v1/predictions", f"/v1/predictions/{document['id']}/image.png", "/livez", "/nothing"):
        headers = caller.get(path).headers
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_only_a_valid_request_id_is_reused(caller):
    request_id = "ab" * 16
    assert caller.client.get("/livez", headers={"X-Request-ID": request_id}).headers["X-Request-ID"] == request_id
    other = caller.client.get("/livez", headers={"X-Request-ID": "../evil"}).headers["X-Request-ID"]
    assert len(other) == 32
    assert other != request_id
