"""The server: apply faults, record calls, and let the patched moto answer.

moto answers with 500 for calls that it does not support and for its own bugs, and the provider retries those for nine
minutes. Here the status is 501, which no client retries.
"""

import io
import os
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.lab.api import control
from tests.lab.api.answers import Answer, error
from tests.lab.api.listen import Server
from tests.lab.api.request import Call, Request, read
from tests.lab.api.state import ApiState, build


def serve(host: str, port: int, directory: Path) -> None:
    """Serve until interrupted. The first line printed names the address."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    state = build(directory)
    application = Application(state)
    server = Server((host, port), application.answer, state.faults.skew)
    state.clock.start(state.lock)
    print(f"http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


class Application:
    def __init__(self, state: ApiState) -> None:
        from botocore.session import get_session

        from tests.lab.api import moto_patches
        from tests.lab.api.dispatch import Dispatcher

        moto_patches.apply()
        self._state = state
        self._moto = Dispatcher()
        self._regions = set(get_session().get_available_regions("ec2"))

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request; None: close the connection without an answer."""
        if request.path.startswith(control.PREFIX):
            return control.answer(self._state, request)
        started = time.monotonic()
        call = read(request)
        faults, answer = self._answer(call, request)
        self._state.calls.add(call, answer.status if answer else 0, time.monotonic() - started, faults)
        return answer

    def _answer(self, call: Call, request: Request) -> tuple[str, Answer | None]:
        if call.region not in self._regions:
            return "unknown-region", None  # in AWS, the name of such an endpoint does not resolve
        faults = self._state.faults.matching(call)
        time.sleep(sum(fault.seconds for fault in faults if fault.kind == "slow"))
        ends = next((fault for fault in faults if fault.kind != "slow"), None)
        if ends:
            return ends.kind, ends.answer(call)
        return "slow" if faults else "", self._ask_moto(call, request)

    def _ask_moto(self, call: Call, request: Request) -> Answer:
        with self._state.lock:
            try:
                return _wsgi(self._moto, request)
            except Exception as reason:
                print(f"501 {call.service} {call.action}: {reason!r}", file=sys.stderr, flush=True)
                if not isinstance(reason, NotImplementedError):
                    traceback.print_exc()
                return error(
                    call, "NotImplemented", f"The lab's AWS cannot {call.service}:{call.action}: {reason!r}", 501
                )


def _wsgi(application: Any, request: Request) -> Answer:
    response: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], broken: object = None) -> None:
        response[:] = [int(status.split()[0]), headers]

    parts: Iterable[bytes] = application(_environ(request), start_response)
    body = b"".join(parts)
    close = getattr(parts, "close", None)
    if close:
        close()
    return Answer(response[0], response[1], body)


def _environ(request: Request) -> dict[str, Any]:
    host = request.headers.get("host", "localhost")
    raw = request.path + (f"?{request.query}" if request.query else "")
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin1"),
        "QUERY_STRING": request.query,
        "RAW_URI": raw,
        "REQUEST_URI": raw,
        "SERVER_NAME": host.partition(":")[0],
        "SERVER_PORT": host.partition(":")[2] or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.source,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(request.body)),
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            environ[f"HTTP_{key}"] = value
    return environ
