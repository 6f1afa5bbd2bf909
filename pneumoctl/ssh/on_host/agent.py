"""Serve one client on a host: probes, files, the lease, and steps that are carried out completely or not at all.

The agent reads frames from stdin and writes frames to stdout (see frames.py). It starts a process for each request, so
that requests do not wait for each other and none can damage another. It ends when the client is gone or silent, and the
last request has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host import TYPE_CHECKING, request
from pneumoctl.ssh.on_host.frames import ANSWER, ASK, PART, Reader, frame
from pneumoctl.ssh.on_host.operations import load

if TYPE_CHECKING:
    from typing import IO

    from pneumoctl.ssh.on_host import Document

SILENT_S = 120.0  # without a request; the client starts another agent before that
SIZE = 1 << 16  # bytes of one read


def main() -> None:
    """Serve until the client is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a step that has begun continues without the connection
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(0o022)
    os.makedirs(on_host.STATE, mode=0o711, exist_ok=True)
    Agent().serve()


class Running:
    """A request whose process runs."""

    def __init__(self, number: int, process: int) -> None:
        self.number, self.process = number, process
        self.frames = Reader()
        self.answered = False


class Agent:
    """The requests of one client, and their processes."""

    def __init__(self) -> None:
        self._client = True  # whether it still speaks
        self._reader = Reader()
        self._trees: dict[int, IO[bytes] | OSError] = {}  # by request: its trees, or why they could not be kept
        self._running: dict[int, Running] = {}  # by the pipe from which its frames are read

    def serve(self) -> None:
        """Start requests and forward their frames, until the client is gone and the last one has ended."""
        signal.signal(signal.SIGTERM, self._terminate)
        while self._client or self._running:
            inputs = [*([0] if self._client else []), *self._running]
            ready, _, _ = select.select(inputs, [], [], None if self._running else SILENT_S)
            if not ready:
                return
            for pipe in ready:
                if pipe:
                    self._forward(pipe)
                else:
                    self._receive()

    def _terminate(self, *_: object) -> None:
        """On SIGTERM: end the steps that run; they undo what they changed."""
        self._client = False
        for running in self._running.values():
            os.kill(running.process, signal.SIGTERM)
        if not self._running:
            os._exit(128 + signal.SIGTERM)

    def _receive(self) -> None:
        data = os.read(0, SIZE)
        self._client = self._client and bool(data)
        for kind, number, contents in self._reader.feed(data):
            if kind == PART:
                self._keep(number, contents)
            elif kind == ASK:
                self._start(number, json.loads(contents))

    def _keep(self, number: int, part: bytes) -> None:
        """Keep a part of the trees until the request is complete, in a file without a name."""
        try:
            if number not in self._trees:
                self._trees[number] = _nameless(f"{on_host.STATE}/.trees.{os.getpid()}")
            trees = self._trees[number]
            if not isinstance(trees, OSError):
                trees.write(part)
                trees.flush()
        except OSError as error:
            self._trees[number] = error

    def _start(self, number: int, asked: Document) -> None:
        trees = self._trees.pop(number, None) or os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb")
        if isinstance(trees, OSError):
            self._answer(number, {"state": "failed", "what": "the host", "code": 1, "output": str(trees)})
            return
        load(asked)
        with trees:
            trees.seek(0)
            process, pipe = request.start(number, asked, trees, self._running)
        self._running[pipe] = Running(number, process)

    def _forward(self, pipe: int) -> None:
        """Forward the complete frames of a request. If it ends without an answer, say so."""
        running, data = self._running[pipe], os.read(pipe, SIZE)
        for kind, number, contents in running.frames.feed(data):
            self._write(frame(kind, number, contents))
            running.answered = kind == ANSWER
        if not data:
            os.close(pipe)
            del self._running[pipe]
            self._ended(running)

    def _ended(self, running: Running) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(running.process, 0)[1])
        if code == -signal.SIGALRM:  # it did not end by itself at its time limit; nor did its commands
            with contextlib.suppress(OSError):
                os.killpg(running.process, signal.SIGKILL)
        if not running.answered:
            self._answer(running.number, {"killed": code})

    def _answer(self, number: int, answer: Document) -> None:
        self._write(frame(ANSWER, number, json.dumps(answer).encode()))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(1, rest) :]
        except OSError:  # the client is gone; what runs continues
            self._client = False


def _nameless(path: str) -> IO[bytes]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.unlink(path)
    return os.fdopen(handle, "w+b")
