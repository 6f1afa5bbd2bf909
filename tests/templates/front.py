"""The front door for tests: a real nginx on its real ports, hosts behind it, and a client."""

import base64
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pneumoctl.plan.render import render
from pneumoctl.targets.aws.configuration import certificate as tls
from tests.serving import serving
from tests.templates.programs import program

NAMES = ("127.0.0.1", "pneumo.example")
SHARED_LOGIN = {"Authorization": "Basic " + base64.b64encode(b"all:a-password-of-tests").decode()}
_TIMEOUT_S = 30.0  # seconds until nginx must answer; the machine may be busy
# nginx writes its process number and makes its folders below these; on this machine they are not its own.
_START = (
    "for one in /run /var/lib /dev/shm; do mount -t tmpfs none $one || exit; done; mkdir /var/lib/nginx; "
    'exec "$0" -c "$1" "$2" "$3"'
)


@dataclass(frozen=True)
class Upstream:
    """A web host as the template wants it."""

    address: str
    port: int = 8080
    down: bool = False


def written(
    directory: Path,
    upstreams: tuple[Upstream, ...],
    *,
    acme: bool = False,
    shared_login: bool = False,
    weaker: tuple[str, str] = ("", ""),
) -> Path:
    """The rendered file with all that it names, in a folder that nginx's workers can read.

    `shared_login`: as while a stack of an earlier release is updated. `weaker` replaces a text in it, to see that
    somebody notices.
    """
    directory.chmod(0o755)
    certificate, key = tls.make(NAMES, datetime.now(UTC))
    (directory / "certificate.pem").write_bytes(certificate)
    (directory / "key.pem").write_bytes(key)
    (directory / "htpasswd").write_text("all:{PLAIN}a-password-of-tests\n")
    text = render(
        "nginx/nginx.conf",
        server_names=NAMES,
        upstreams=upstreams,
        max_upload_mb=8,
        certificate=directory / "certificate.pem",
        key=directory / "key.pem",
        htpasswd=directory / "htpasswd" if shared_login else "",
        acme=acme,
    )
    path = directory / "nginx.conf"
    if weaker[0]:
        assert weaker[0] in text
        text = text.replace(*weaker)
    path.write_text(text.replace("unix:/dev/log", f"unix:{directory}/log"))
    return path


def nginx(path: Path, *options: str) -> list[str]:
    """The command that runs nginx with this file and nothing of this machine's."""
    return ["unshare", "--mount", "sh", "-c", _START, program("nginx"), str(path), *options]


class Front:
    """nginx with the rendered file, on 443 and 80 of this thread's network."""

    def __init__(self, directory: Path, *upstreams: Upstream, **more: Any) -> None:
        self.directory = directory
        self._command = nginx(written(directory, upstreams, **more), "-g", "daemon off;")
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(directory / "log"))
        (directory / "log").chmod(0o777)
        self._log.setblocking(False)
        self.context = ssl.create_default_context(cafile=str(directory / "certificate.pem"))

    def __enter__(self) -> "Front":
        self._errors = (self.directory / "errors").open("w+")
        self._process = subprocess.Popen(self._command, stderr=self._errors)
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", 443), timeout=60).close()
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"nginx did not start: {(self.directory / 'errors').read_text()}")
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=120)
        self._errors.close()
        self._log.close()

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        host: str = "127.0.0.1",
        encrypted: bool = True,
    ) -> "Answer":
        """One request on a separate connection."""
        made: http.client.HTTPConnection
        if encrypted:
            made = http.client.HTTPSConnection("127.0.0.1", timeout=120, context=self.context)
        else:
            made = http.client.HTTPConnection("127.0.0.1", timeout=120)
        try:
            made.request(method, path, body, {"Host": host, **headers})
            got = made.getresponse()
            return Answer(got.status, got.getheaders(), got.read())
        finally:
            made.close()

    def open_files(self) -> set[str]:
        """The files that nginx's workers hold open, deleted ones too."""
        workers = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        files = set()
        for link in [fd for worker in workers for fd in Path(f"/proc/{worker}/fd").iterdir()]:
            with suppress(FileNotFoundError):  # closed meanwhile
                files.add(str(link.readlink()))
        return files

    def logged(self) -> str:
        """The next line of the access log, without what syslog puts before it."""
        self._log.settimeout(_TIMEOUT_S)
        return self._log.recv(65536).decode().partition("nginx: ")[2]


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header: one that is sent twice shows."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Host:
    """A web host that answers any request and records it, except requests to /die.

    checked: the headers of nginx's questions whether somebody has logged in; `login` is the status of the answers.
    """

    address: str
    login: int = 204
    checked: list[dict[str, str]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def serve(self, headers: Mapping[str, str]) -> ThreadingHTTPServer:
        """A server that is listening, but does not take a connection before `serve_forever`."""
        seen, of_host = self.seen, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                if self.path == "/logged-in":
                    of_host.checked.append(dict(self.headers.items()))
                    self.send_response(of_host.login)
                    if of_host.login != 204:
                        self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen.append((self.command, self.path, dict(self.headers.items()), body))
                if self.path == "/die":
                    self.close_connection = True
                    return
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = _answer

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked is in `seen`."""

        return ThreadingHTTPServer((self.address, 8080), Handler)


@contextmanager
def host(address: str, headers: Mapping[str, str] = {}) -> Iterator[Host]:
    """A web host that works."""
    made = Host(address)
    with serving(made.serve(headers)):
        yield made
