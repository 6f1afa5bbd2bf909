"""Where a file came from: its folder, the pseudonym of its study, and the same bytes under other names."""

import json
import re

import pytest

from tests.webapp.api.answers import problem
from tests.webapp.api.records import PICTURE, ready, record
from tests.webapp.api.test_rotation import NEW_KEY, THIRD_KEY, rotated
from tests.webapp.conftest import Caller
from tests.webapp.dicom_films import STUDY_UID, dicom_film
from tests.webapp.servers import MAC_KEY
from webapp import api
from webapp.api.intake import MAX_FOLDER, clean_folder
from webapp.api.storage.errors import NotRead
from webapp.api.storage.lists import Lists


def sources(caller, *files: tuple[bytes, str]) -> list[dict]:
    """The sources in the answer to an upload."""
    answer = caller.send(*files)
    assert answer.status_code == 201, answer.data
    return answer.get_json()["sources"]


def source(caller, identifier: str) -> dict:
    """The source of a stored result."""
    return caller.get(f"/v1/predictions/{identifier}/source").get_json()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", ""),
        ("ward 3/a.png", "ward 3"),
        ("/srv/films/../ward//./a.png", "srv/films/ward"),
        ("C:\\films\\Meier\\1.dcm", "C:/films/Meier"),
        ("wa\u202erd/\x00/ x \t y /a.png", "ward/x y"),
        (None, ""),
        ("x/" * 300 + "near/a.png", ("x/" * 300 + "near")[-MAX_FOLDER:].strip("/")),
    ],
)
def test_clean_folder(name, expected):
    assert clean_folder(name) == expected
    assert clean_folder(f"{expected}/a.png") == expected


def test_films_of_a_study_have_one_pseudonym_also_a_refused_one(caller):
    frontal, side, other = sources(
        caller,
        (dicom_film(), "IM000001"),
        (dicom_film(view="LL"), "IM000002"),
        (dicom_film("1.2.3", seed=7), "IM000001"),
    )
    assert re.fullmatch("[A-Z2-7]{12}", frontal["study"])
    assert frontal["study"] == side["study"] != other["study"]
    page = caller.get(f"/v1/predictions?study={frontal['study']}").get_json()
    assert [each["file"] for each in page["predictions"]] == ["IM000002", "IM000001"]
    assert page["predictions"][0]["refusal"]["code"] == "not_a_chest"
    assert {entry["study"] for entry in page["entries"]} == {frontal["study"]}
    assert caller.get("/v1/predictions?study=ABCDEFGHIJKL").get_json()["total"] == 0


def test_no_part_of_the_header_is_stored(caller, redis_server):
    caller.sent((dicom_film(), "a.dcm"))
    client = redis_server.client()
    reads = {b"string": client.get, b"zset": lambda key: client.zrange(key, 0, -1), b"stream": client.xrange}
    reads[b"hash"] = client.hgetall  # the trail
    stored = b"".join(repr(reads[client.type(key)](key)).encode() for key in client.keys("*"))
    assert b"a.dcm" in stored
    assert STUDY_UID.encode() not in stored and b"Meier" not in stored


@pytest.mark.parametrize("uid", ["", "Meier", "1" * 65, "1.2\\1.3"])
def test_a_study_that_is_none_has_no_pseudonym(caller, uid):
    (answer,) = sources(caller, (dicom_film(uid), "a.dcm"))
    assert answer["study"] is None


def test_a_pseudonym_stays_after_rotations_and_is_another_in_another_stack(config, caller, redis_server):
    (before,) = sources(caller, (dicom_film(), "1.dcm"))
    next_accepted = Caller(api.create_app(config | {"MAC_KEYS_PREVIOUS": NEW_KEY}).test_client())
    sealed_anew = rotated(config, MAC_KEYS_PREVIOUS=MAC_KEY)
    twice = rotated(config, MAC_KEY=THIRD_KEY, MAC_KEYS_PREVIOUS=f"{NEW_KEY},{MAC_KEY}")
    for number, each in enumerate((next_accepted, sealed_anew, twice), 2):
        assert sources(each, (dicom_film(), f"{number}.dcm"))[0]["study"] == before["study"]
    redis_server.client().flushall()  # a store that was lost
    assert sources(twice, (dicom_film(), "5.dcm"))[0]["study"] == before["study"]
    redis_server.client().flushall()
    assert sources(rotated(config), (dicom_film(), "1.dcm"))[0]["study"] != before["study"]


def test_a_damaged_key_of_pseudonyms_keeps_no_film_back(config, redis_server):
    redis_server.client().set("pneumo:1:study-key", b"x")
    first, second = (Caller(api.create_app(config).test_client()) for _ in range(2))
    assert sources(first, (dicom_film(), "1.dcm"))[0]["study"] == sources(second, (dicom_film(), "2.dcm"))[0]["study"]


def test_the_folder_is_stored_beside_the_name(caller, clear_picture):
    (answer,) = sources(caller, (clear_picture, "ward 3/p1/IM000001"))
    assert answer == {"folder": "ward 3/p1", "study": None, "same": []}
    page = caller.get("/v1/predictions").get_json()
    assert (page["predictions"][0]["file"], page["entries"][0]["folder"]) == ("IM000001", "ward 3/p1")
    assert source(caller, page["predictions"][0]["id"]) == answer


def test_two_films_of_one_name_are_two_results_and_one_film_of_two_folders_is_one(
    caller, clear_picture, opaque_picture
):
    first, second = caller.sent((clear_picture, "a/IM000001"), (opaque_picture, "b/IM000001"))
    assert first["id"] != second["id"]
    assert [source(caller, each["id"])["folder"] for each in (first, second)] == ["a", "b"]
    answer = caller.send((clear_picture, "b/IM000001")).get_json()
    assert answer["predictions"] == [first]
    same = {"id": first["id"], "file": "IM000001", "folder": "a", "created": first["created"]}
    assert answer["sources"] == [{"folder": "a", "study": None, "same": [same]}]


def test_bytes_that_were_stored_under_another_name_are_told(caller, clear_picture, opaque_picture):
    (first,) = caller.sent((clear_picture, "a/1.png"))
    caller.sent((opaque_picture, "a/1.png"))
    answer = caller.send((clear_picture, "b/2.png")).get_json()
    (second,) = answer["predictions"]
    assert [each["file"] for each in answer["sources"][0]["same"]] == ["1.png"]
    assert [each["id"] for each in source(caller, first["id"])["same"]] == [second["id"]]
    assert [each["id"] for each in source(caller, second["id"])["same"]] == [first["id"]]
    caller.client.delete(f"/v1/predictions/{first['id']}", headers=caller.headers)
    assert source(caller, second["id"])["same"] == []


def test_an_upload_does_not_wait_for_a_list_that_is_not_read(caller, clear_picture, monkeypatch):
    def not_read(*_):
        raise NotRead(0, 1)

    monkeypatch.setattr(Lists, "of_content", not_read)
    assert sources(caller, (clear_picture, "a.png"))[0]["same"] is None


def test_a_record_of_an_earlier_version_reads_as_before(store, caller, redis_server):
    store.put(record(1), PICTURE)
    sealed = redis_server.client().get(f"pneumo:1:record:{record(1).id}")
    earlier = json.loads(sealed[64:])
    assert earlier.pop("source") is None
    name = f"pneumo:1:record:{record(1).id}"
    redis_server.client().set(name, store._seal.close(name, json.dumps(earlier).encode()))
    assert store.get(record(1).id) == record(1)
    assert source(caller, record(1).id) == {"folder": "", "study": None, "same": None}
    assert len(ready(store).lists.page("time", "all", None, 9).records) == 1


@pytest.mark.parametrize("study", ["", "abcdefghijkl", "ABCDEFGHIJK", "ABCDEFGHIJK1", STUDY_UID])
def test_what_is_no_pseudonym_is_no_filter(caller, study):
    problem(caller.get(f"/v1/predictions?study={study}"), 400, "bad-study")
