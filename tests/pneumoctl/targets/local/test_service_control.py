"""What is asked of supervisord, and what its answers mean: nothing but an answer says that a service has ended."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from xmlrpc.client import dumps

import pytest

from pneumoctl.targets.local import service_control, service_states
from tests.serving import serving

Answer = Callable[[], bytes]


@contextmanager
def supervisord(root: Path, answer: Answer) -> Iterator[None]:
    """A stand-in for supervisord, which cannot be brought into every state; it gives one answer to every request."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)  # whole: what is left unread resets the connection
            self.wfile.write(answer())

    with serving(ThreadingUnixStreamServer(str(service_states.socket(root)), Handler)):
        yield


def http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def in_states(*states: str) -> Answer:
    """The states of the service `api`, one for each request; the last one stays."""
    left = list(states)

    def answer() -> bytes:
        state = left.pop(0) if len(left) > 1 else left[0]
        info = {"name": "api", "statename": state, "pid": 7 if state == "RUNNING" else 0, "now": 9, "start": 2}
        return http("200 OK", dumps(([info],), methodresponse=True))

    return answer


@pytest.mark.parametrize(
    ("states", "running", "stopped"),
    [
        (("RUNNING",), 0, 1),
        (("STARTING", "RUNNING"), 0, 1),
        (("STARTING", "BACKOFF"), 1, 1),
        (("STOPPING", "STOPPED"), 1, 0),
        (("EXITED",), 1, 0),
        (("FATAL",), 1, 0),
        (("UNKNOWN",), 1, 1),
    ],
)
def test_a_state_is_awaited_while_it_changes(
    tmp_path: Path, states: tuple[str, ...], running: int, stopped: int
) -> None:
    for verb, expected in (("running", running), ("stopped", stopped), ("supervised", 0)):
        with supervisord(tmp_path, in_states(*states)):
            assert service_control.main([verb, str(tmp_path), *(["api"] if verb != "supervised" else [])]) == expected
        service_states.socket(tmp_path).unlink()


def test_a_service_that_supervisord_does_not_know_is_stopped(tmp_path: Path) -> None:
    with supervisord(tmp_path, in_states("RUNNING")):
        assert service_control.main(["stopped", str(tmp_path), "other"]) == 0


def test_without_supervisord_every_service_is_stopped(tmp_path: Path) -> None:
    assert service_control.main(["stopped", str(tmp_path), "api"]) == 0
    with supervisord(tmp_path, in_states("RUNNING")):
        pass  # the socket stays, and nobody listens
    assert service_control.main(["stopped", str(tmp_path), "api"]) == 0
    assert service_states.states(tmp_path) is None


@pytest.mark.parametrize("answer", ["500 Internal Server Error", "200 OK", "", "hangs"])
def test_an_invalid_answer_tells_nothing(
    tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service_states, "ANSWER_S", 0.3)
    ends = threading.Event()

    def answered() -> bytes:
        if answer == "hangs":
            ends.wait(60)
        return http(answer, "<methodResponse><par") if answer not in ("", "hangs") else b""

    with supervisord(tmp_path, answered):
        for verb in ("stopped", "running", "start", "stop"):
            assert service_control.main([verb, str(tmp_path), "api"]) == 1
            assert "api: supervisord does not answer: " in capsys.readouterr().err
        assert service_control.main(["supervised", str(tmp_path)]) == 1
        assert service_states.available_states(tmp_path) is None
        ends.set()


def test_the_probes_load_no_library() -> None:
    """`up` starts one for each service."""
    script = "import sys; from pneumoctl.targets.local import readiness, service_control; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"urllib3", "supervisor", "psutil", "dataclasses"} & set(loaded)
