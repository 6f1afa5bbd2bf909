"""STOW-RS answers as PS3.18 says, after the film lies in the queue, and keeps what names a patient out of it all."""

import json

import pytest

from model.images.decode import decode
from model.images.limits import Refused
from tests.webapp.api.received.films import CR, CT, PATIENT, UID, as_bytes, dataset, film, related
from tests.webapp.api.test_rotation import NEW_KEY, THIRD_KEY
from tests.webapp.conftest import Caller
from tests.webapp.servers import MAC_KEY
from webapp import api, dicom
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.film_queue import FilmQueue


def send(caller: Caller, *contents: bytes, headers: dict | None = None, **more):
    body, kind = related(*contents, **more)
    headers = caller.headers if headers is None else headers
    return caller.client.post("/dicomweb/studies", data=body, content_type=kind, headers=headers)


def queue(caller: Caller) -> FilmQueue:
    return caller.client.application.extensions["pneumo"].store.queue


def rows(answer, tag: str) -> list[dict]:
    return json.loads(answer.data).get(tag, {"Value": []})["Value"]


def failures(answer) -> list[int]:
    return [row[dicom.FAILURE_REASON]["Value"][0] for row in rows(answer, dicom.FAILED)]


def test_films_are_queued_and_referenced(caller):
    answer = send(caller, film(1), film(2))
    assert (answer.status_code, answer.content_type) == (200, "application/dicom+json")
    assert json.loads(answer.data)[dicom.RETRIEVE_URL] == {"vr": "UR"} and not rows(answer, dicom.FAILED)
    assert rows(answer, dicom.STORED) == [
        {
            dicom.REFERENCED_CLASS: {"vr": "UI", "Value": [CR]},
            dicom.REFERENCED_INSTANCE: {"vr": "UI", "Value": [UID.format(number)]},
            dicom.RETRIEVE_URL: {"vr": "UR"},
        }
        for number in (1, 2)
    ]
    assert queue(caller).state().waiting == 2
    claim = queue(caller).claim(60, 0.01)
    assert queue(caller).film(claim).content == film(1)


def test_a_film_that_is_sent_again_is_a_success_and_queued_once(caller):
    assert [send(caller, film(1)).status_code for _ in range(2)] == [200, 200]
    assert queue(caller).state().waiting == 1


def test_the_name_says_nothing_of_the_patient(caller, caplog):
    send(caller, film(1), film(2))
    names = {queue(caller).claim(60, 0.01).file for _ in range(2)}
    assert len(names) == 2 and all(name.startswith("CR-") and name.endswith(".dcm") for name in names)
    said = " ".join(names) + caplog.text
    assert not any(word in said for word in (PATIENT, "4711", UID.format(1)))


def test_the_name_stays_when_the_keys_are_rotated_also_in_a_store_that_began_with_a_later_one(config, redis_server):
    def name(**keys) -> str:
        """That of the only film in the queue, sent to an app with these keys."""
        sender = Caller(api.create_app(config | keys).test_client())
        assert send(sender, film(1)).status_code == 200
        claim = queue(sender).claim(60, 0.01)
        queue(sender).finish(claim)
        return claim.file

    before = name()
    assert name(MAC_KEY=NEW_KEY, MAC_KEYS_PREVIOUS=MAC_KEY) == before
    # A key that is older than the store's: of a stack whose results were imported.
    assert name(MAC_KEY=NEW_KEY, MAC_KEYS_PREVIOUS=f"{MAC_KEY},{THIRD_KEY}") == before
    redis_server.client().flushall()
    assert name(MAC_KEY=NEW_KEY) != before


def test_what_is_no_film_is_refused_beside_those_that_are_stored(caller):
    other = dataset(2)
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = CT
    bare = dataset(3)
    del bare.PixelData
    answer = send(caller, film(1), as_bytes(other), b"no DICOM", as_bytes(bare))
    assert answer.status_code == 202 and len(rows(answer, dicom.STORED)) == 1
    assert failures(answer) == [dicom.CLASS_NOT_SUPPORTED, dicom.CANNOT_UNDERSTAND, dicom.CANNOT_UNDERSTAND]
    assert rows(answer, dicom.FAILED)[0][dicom.REFERENCED_INSTANCE]["Value"] == [UID.format(2)]
    assert send(caller, b"no DICOM").status_code == 409
    assert queue(caller).state().waiting == 1


def test_deflated_and_unknown_syntaxes_are_refused(caller):
    unknown = film(1).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.1\0")
    assert failures(send(caller, unknown)) == [dicom.SYNTAX_NOT_SUPPORTED]
    deflated = dataset(2)
    deflated.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    assert failures(send(caller, as_bytes(deflated))) == [dicom.SYNTAX_NOT_SUPPORTED]


def test_every_announced_syntax_is_one_that_the_model_decodes():
    from model.images import dicom_values as values

    last = {each.removeprefix("1.2.840.10008.1.2").removeprefix(".") for each in dicom.TRANSFER_SYNTAXES}
    compressed = {values._RLE, *values._JPEG, *values._JPEG_LS, *values._JPEG_2000}
    assert last == {"", "1", "2", *compressed}


def test_every_accepted_class_may_be_a_film(clear_picture):
    for uid in dicom.STORAGE_CLASSES:
        each = dataset(1)
        each.SOPClassUID = each.file_meta.MediaStorageSOPClassUID = uid
        assert decode(as_bytes(each)).format == "DICOM"
    other = dataset(1)
    other.SOPClassUID = CT
    with pytest.raises(Refused):
        decode(as_bytes(other))


def test_a_store_that_is_full_or_away_has_the_sender_try_again(caller, monkeypatch):
    def fail(*_):
        raise StoreUnavailable("away")

    monkeypatch.setattr(FilmQueue, "put", fail)
    answer = send(caller, film(1))
    assert (answer.status_code, failures(answer)) == (503, [dicom.OUT_OF_RESOURCES])
    assert answer.headers["Retry-After"]


def test_an_unexpected_error_is_a_failure_of_that_film(caller, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError(PATIENT)

    monkeypatch.setattr(FilmQueue, "put", fail)
    answer = send(caller, film(1))
    assert (answer.status_code, failures(answer)) == (409, [dicom.PROCESSING_FAILURE])
    assert PATIENT not in caplog.text


def test_the_token_is_required(caller):
    for headers in ({}, {"Authorization": "Bearer another-token-of-tests"}):
        assert send(caller, film(1), headers=headers).status_code == 401
    assert queue(caller).state().waiting == 0


def test_bodies_of_another_kind_are_refused(caller):
    def post(body: bytes, kind: str) -> tuple[int, str]:
        answer = caller.client.post("/dicomweb/studies", data=body, content_type=kind, headers=caller.headers)
        return answer.status_code, answer.get_json(force=True)["code"]

    body, kind = related(film(1))
    assert post(body, "application/dicom") == (415, "unsupported-media-type")
    assert post(body, kind.replace("application/dicom", "application/dicom+json")) == (415, "unsupported-media-type")
    assert post(body, 'multipart/related; type="application/dicom"') == (400, "bad-multipart")
    assert post(body[:-4], kind) == (400, "bad-multipart")
    assert post(b"", kind) == (400, "bad-multipart")
    assert post(b"--a-boundary-of-tests--", kind) == (400, "bad-multipart")
    assert post(body.replace(b"Type: application/dicom", b"Type: text/plain"), kind) == (415, "unsupported-media-type")
    assert post(related(*[b"x"] * 501)[0], kind) == (413, "too-many-files")
    assert post(bytes(30_000_000), kind)[0] == 413
    assert queue(caller).state().waiting == 0


def test_a_preamble_folded_padding_and_a_missing_type_are_as_the_standards_allow(caller):
    body, kind = related(film(1))
    body = b"a preamble\r\n" + body.replace(b"boundary-of-tests\r\n", b"boundary-of-tests \r\n", 1) + b"an epilogue"
    kind = kind.replace('type="application/dicom"; ', "")
    answer = caller.client.post("/dicomweb/studies", data=body, content_type=kind, headers=caller.headers)
    assert answer.status_code == 200, answer.data
