"""The receiver takes films from a real sender, answers as the API did, and no sender can hang it."""

import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from pneumoctl.targets.aws.configuration import certificate as tls
from tests.serving import secure, serving
from tests.webapp.api.received.films import CT, PATIENT, UID, dataset
from tests.webapp.receiver.senders import VERIFICATION, associate, certificate, receiving, send, settings
from tests.webapp.servers import ROOT, TOKEN, free_port
from webapp import dicom
from webapp.api.received import related
from webapp.environment import Environment, EnvironmentInvalid
from webapp.receiver import limits
from webapp.receiver.settings import ReceiverSettings

STORED = b'{"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}'


class Api(ThreadingHTTPServer):
    """Answers as the API would: `answer` is a status and a body, `films` are those that it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, bytes] = (200, STORED)
        self.films: list[bytes] = []
        self.calling: str | None = None
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_POST(self) -> None:
        assert (self.path, self.headers["Authorization"]) == ("/dicomweb/studies", f"Bearer {TOKEN}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.films += related.parts(body, related.boundary(self.headers["Content-Type"]))
        self.server.asked += 1
        self.server.calling = self.headers["X-Pneumo-Calling"]
        status, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long the receiver waits for the request of an association."""
    monkeypatch.setattr("webapp.receiver.server._ASSOCIATION_SECONDS", 2)


@pytest.fixture
def fake_api() -> Iterator[Api]:
    with serving(Api()) as server:
        yield server


@pytest.fixture
def port(fake_api: Api) -> Iterator[int]:
    chosen = settings(fake_api.url)
    with receiving(chosen):
        yield chosen.port


def test_echo_is_answered(port):
    association = associate(port)
    assert association.is_established and association.send_c_echo().Status == 0
    association.release()


def test_a_film_reaches_the_api_as_a_file_with_the_same_bytes_each_time(port, fake_api, caplog):
    caplog.set_level(logging.INFO)
    assert [send(port, dataset(1)) for _ in range(2)] == [dicom.SUCCESS] * 2
    assert fake_api.calling == "MODALITY"
    first, second = fake_api.films
    assert first == second
    film = dcmread(DicomBytesIO(first))
    assert (film.SOPInstanceUID, film.PixelData) == (UID.format(1), dataset(1).PixelData)
    assert "0x0000" in caplog.text
    assert not any(word in caplog.text for word in (PATIENT, "4711", UID.format(1)))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, STORED), dicom.SUCCESS),
        ((200, b"{}"), dicom.PROCESSING_FAILURE),
        ((200, b"Welcome"), dicom.PROCESSING_FAILURE),
        ((202, STORED), dicom.PROCESSING_FAILURE),
        ((503, b""), dicom.OUT_OF_RESOURCES),
        ((507, b""), dicom.OUT_OF_RESOURCES),
        ((401, b"{}"), dicom.PROCESSING_FAILURE),
        ((202, b"{}"), dicom.PROCESSING_FAILURE),
        ((409, b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [49152]}}]}}'), 0xC000),
        ((503, b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [42752]}}]}}'), 0xA700),
        ((409, b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0]}}]}}'), 0x0110),
    ],
)
def test_the_status_is_what_the_api_said(port, fake_api, answer, expected):
    fake_api.answer = answer
    assert send(port, dataset(1)) == expected
    assert (fake_api.asked > 1) == (answer[0] == 503), "what may pass is tried again, and nothing else"


@pytest.mark.parametrize("status", [401, 403])
def test_an_api_that_does_not_know_the_receiver_is_told_in_words(port, fake_api, caplog, status):
    fake_api.answer = (status, b"{}")
    assert send(port, dataset(1)) == dicom.PROCESSING_FAILURE
    assert "the API does not know this receiver" in caplog.text


def test_without_the_api_the_sender_keeps_the_film():
    chosen = settings(f"http://127.0.0.1:{free_port()}")
    with receiving(chosen):
        assert send(chosen.port, dataset(1)) == dicom.OUT_OF_RESOURCES


def test_only_films_are_negotiated(port):
    association = associate(port, classes=(VERIFICATION, CT))
    assert [str(each.abstract_syntax) for each in association.accepted_contexts] == [VERIFICATION]
    association.release()


def test_who_calls_by_another_title_is_rejected(fake_api, caplog):
    chosen = settings(fake_api.url, calling=("MODALITY", "ORTHANC"))
    with receiving(chosen):
        assert associate(chosen.port, called="OTHER").is_rejected
        assert "rejected: it called another AE title than dicom_ae_title" in caplog.text
        assert associate(chosen.port, calling="OTHER").is_rejected
        assert (
            "rejected: its calling AE title is not one of dicom_calling" in caplog.text and "OTHER" not in caplog.text
        )
        assert send(chosen.port, dataset(1), calling="ORTHANC") == dicom.SUCCESS
    assert len(fake_api.films) == 1


def test_associations_are_limited_and_the_others_go_on(fake_api, caplog):
    chosen = settings(fake_api.url, associations=2)
    with receiving(chosen):
        held = [associate(chosen.port) for _ in range(2)]
        assert all(each.is_established for each in held)
        assert associate(chosen.port).is_rejected
        assert "rejected: as many senders as may be are connected" in caplog.text
        assert held[0].send_c_store(dataset(1)).Status == dicom.SUCCESS
        for each in held:
            each.release()


def closed(connection: socket.socket) -> bool:
    """Whether the receiver ends a connection; pynetdicom may say that it aborts first."""
    connection.settimeout(60)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def test_connections_that_say_nothing_are_limited_and_closed(fake_api):
    chosen = settings(fake_api.url, associations=1)
    with receiving(chosen) as server:
        silent = [socket.create_connection(("127.0.0.1", chosen.port)) for _ in range(30)]
        assert all(closed(each) for each in silent)
        assert len(server.active_associations) <= server.connections
        for each in silent:
            each.close()
        deadline = time.monotonic() + 60
        while (status := send(chosen.port, dataset(1))) is None and time.monotonic() < deadline:
            time.sleep(0.05)  # until the last of them is gone
        assert status == dicom.SUCCESS


@pytest.mark.parametrize(
    "sent", [b"\x01\x00\x00\x00\x10\x00slow", b"\x04\x00\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_a_sender_that_is_slow_or_lies_about_its_length_is_cut_off(port, monkeypatch, sent):
    monkeypatch.setattr(limits, "PDU_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        assert closed(connection)
    assert send(port, dataset(1)) == dicom.SUCCESS


def test_a_film_that_is_too_large_or_takes_too_long_ends_its_association_alone(port, fake_api, monkeypatch):
    other = associate(port)
    film = dataset(1)
    film.Rows, film.Columns, film.PixelData = 2000, 1500, bytes(3_000_000)
    assert send(port, film) is None
    monkeypatch.setattr(limits, "MESSAGE_SECONDS", 0.0)
    assert not associate(port).is_established
    monkeypatch.undo()
    assert other.send_c_store(dataset(2)).Status == dicom.SUCCESS
    other.release()
    assert len(fake_api.films) == 1


def test_many_films_in_one_association_have_the_limits_of_one(fake_api, monkeypatch):
    monkeypatch.setattr(limits, "PDU_BYTES", 20_000)
    chosen = settings(fake_api.url, film_bytes=20_000)
    with receiving(chosen):
        association = associate(chosen.port)
        assert {association.send_c_store(dataset(number)).Status for number in range(8)} == {dicom.SUCCESS}
        association.release()


def test_an_error_of_the_program_is_a_failure(port, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError(PATIENT)

    monkeypatch.setattr("webapp.receiver.forward.Forwarder.send", broken)
    assert send(port, dataset(1)) == dicom.PROCESSING_FAILURE
    assert PATIENT not in caplog.text


def test_tls_and_the_certificate_of_senders(fake_api, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as only_for_its_files:
        secure(only_for_its_files, tmp_path)
    files = tuple(str(tmp_path / name) for name in (tls.CERTIFICATE, tls.KEY))
    client = ssl.create_default_context(cafile=files[0])
    own = certificate(tmp_path)
    client.load_cert_chain(own)
    chosen = settings(fake_api.url, tls=(*files, own))
    with receiving(chosen):
        with socket.create_connection(("127.0.0.1", chosen.port)):  # it never begins: nobody else waits for it
            assert send(chosen.port, dataset(1), tls_args=(client, "127.0.0.1")) == dicom.SUCCESS
        assert send(chosen.port, dataset(1)) is None
        nobody = ssl.create_default_context(cafile=files[0])
        assert send(chosen.port, dataset(1), tls_args=(nobody, "127.0.0.1")) is None
    assert len(fake_api.films) == 1


WHOLE = {"DICOM_PORT": "11112", "API_URL": "http://127.0.0.1:5000", "API_TOKEN": TOKEN}


@pytest.mark.parametrize(
    "wrong",
    [
        {"DICOM_PORT": ""},
        {"API_TOKEN": ""},
        {"DICOM_AE_TITLE": "A-TITLE-OF-SEVENTEEN"},
        {"DICOM_CALLING": "GOOD,BACK\\SLASH"},
        {"DICOM_CERTIFICATE": "/a/file"},
        {"DICOM_CA": "/a/file"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    environment = Environment(WHOLE | wrong)
    ReceiverSettings.read(environment)
    with pytest.raises(EnvironmentInvalid):
        environment.check()


def test_the_program_ends_when_it_is_told_to_and_says_why_it_cannot_start(fake_api):
    number = free_port()
    values = {**os.environ, "PYTHONPATH": str(ROOT), **WHOLE, "DICOM_PORT": str(number), "API_URL": fake_api.url}
    program = subprocess.Popen([sys.executable, "-m", "webapp.receiver"], env=values, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stderr and "receiving films as PNEUMOCTL" in program.stderr.readline()
        assert send(number, dataset(1)) == dicom.SUCCESS
        second = subprocess.run(
            [sys.executable, "-m", "webapp.receiver"], env=values, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1 and "cannot listen" in second.stderr
    finally:
        program.terminate()
        assert program.wait(60) == 0
        assert program.stderr
        program.stderr.close()
