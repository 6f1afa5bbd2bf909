"""The transport to a host on aws: every action as root, over SSH, whole or not at all."""

import hashlib
import io
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from pneumoctl.plan.transport import LocalTransport, Output
from pneumoctl.ssh import archive
from pneumoctl.ssh.channel import CHUNK, LATE
from pneumoctl.ssh.connections import SIGNALLED, Connections
from pneumoctl.stack.inventory import Host

GRACE = 10.0  # seconds that a command has to end after its time is up, before the channel is closed on it
TRANSFER = 3600.0  # seconds that a file or tree may take in all
STALL = 120.0  # seconds in which nothing of it may move


class SshTransport:
    """Acts on one host. All methods raise ssh.Unreachable if it cannot be reached."""

    def __init__(self, host: Host, connections: Connections) -> None:
        self._host = host
        self._connections = connections

    def run(self, argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Output:
        """See Transport. The host itself ends the command when its time is up, even if the link is cut by then."""
        command, stdin = archive.with_env(argv, env)
        out, began = io.BytesIO(), time.monotonic()
        line = archive.as_root(command, timeout)
        code, err = self._connections.execute(self._host, line, iter([stdin]), out, timeout + GRACE)
        said = _text(err)
        if code in {LATE, 128 + 9, SIGNALLED} and time.monotonic() - began >= timeout:
            return Output(LATE, _text(out.getvalue()), f"{said}\n{argv[0]}: no end after {timeout:.0f} s".lstrip())
        return Output(code, _text(out.getvalue()), said)

    def read(self, path: str) -> bytes | None:
        """See Transport."""
        out = io.BytesIO()
        return None if self._move(archive.reading(path), out) == archive.ABSENT else out.getvalue()

    def put(self, content: bytes, path: str, mode: int) -> None:
        """See Transport."""
        digest = hashlib.sha256(content).hexdigest()
        self._move(archive.putting(path, digest, mode), io.BytesIO(), io.BytesIO(content))

    def copy(self, source: str, path: str, exclude: Sequence[str]) -> None:
        """See Transport. One round trip; on the host all is root's and readable by every service's user."""
        with tempfile.TemporaryFile() as packed:
            archive.pack(source, exclude, packed)
            packed.seek(0)
            self._move(archive.copying(path), io.BytesIO(), packed)

    def link(self, path: str, target: str) -> None:
        """See Transport."""
        self._move(archive.linking(path, target), io.BytesIO())

    def fetch(self, source: str, path: str) -> None:
        """See Transport."""
        with tempfile.TemporaryFile() as packed, tempfile.TemporaryDirectory() as fresh:
            self._move(archive.fetching(source), packed)
            packed.seek(0)
            archive.unpack(packed, Path(fresh))
            LocalTransport().copy(fresh, path, ())

    def _move(self, argv: Sequence[str], out: IO[bytes], content: IO[bytes] | None = None) -> int:
        """Run one of our programs on the host. OSError with its last words if it fails."""
        stdin: Iterable[bytes] = iter(lambda: content.read(CHUNK), b"") if content else ()
        line = archive.as_root(argv, TRANSFER)
        code, err = self._connections.execute(self._host, line, iter(stdin), out, TRANSFER + GRACE, STALL)
        if code not in {0, archive.ABSENT}:
            said = "nothing moved any more" if code == LATE else _text(err).strip() or f"exit {code}"
            raise OSError(f"{self._host.name}: {said}")
        return code


def _text(said: bytes) -> str:
    return said.decode(errors="replace")
