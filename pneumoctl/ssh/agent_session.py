"""A session with the agent on one host: one process there answers all requests, also several at once."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from queue import Empty, SimpleQueue
from typing import IO, Any

from pneumoctl.errors import unexpected
from pneumoctl.ssh import host_program
from pneumoctl.ssh.channel import CHUNK
from pneumoctl.ssh.connections import HostConnection, Unreachable, lost
from pneumoctl.ssh.keepalive_socket import KeepaliveSocket
from pneumoctl.ssh.on_host.agent import SILENT_S
from pneumoctl.ssh.on_host.frames import ANSWER, ASK, EVENT, PART, Damaged, Reader, frame
from pneumoctl.ssh.paramiko_errors import ssh_errors

STALL_S = 120.0  # without any progress while a request is sent
GRACE_S = 30.0  # after the time limit of a request, for a step to undo its changes and for the answer to arrive
AGENT_S = 5.0  # for the agent's exit code after its output has ended
LOOK_S = 1.0  # between two checks of what ended
Inbox = SimpleQueue[tuple[str, bytes] | Unreachable]
PART_SIZE = 1 << 16  # bytes; between two parts of a tree, other requests can be sent


class AgentSession:
    """The agent of a host over one channel. Raises Unreachable; after that a new session is needed."""

    def __init__(self, connection: HostConnection, channel: Any) -> None:
        self._host, self._connection, self._channel = connection.host, connection, channel
        channel.settimeout(LOOK_S)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Inbox] = {}
        self._given_up: set[int] = set()  # requests whose late answers are ignored
        self._sending, self._changing = threading.Lock(), threading.Lock()
        self._end: Unreachable | None = None
        self._asked = time.monotonic()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether the agent takes another request: it still runs, and does not end soon because of our silence."""
        silent = not self._waiting and time.monotonic() - self._asked > SILENT_S / 2
        return self._end is None and not silent

    def start(self) -> None:
        """Send the program."""
        self._send(host_program.archive())

    def close(self) -> None:
        """End the session; requests that run continue on the host."""
        self._finish(self._unreachable("the session was closed"))

    def ask(
        self,
        request: dict[str, Any],
        limit: float,
        trees: IO[bytes] | None = None,
        waiting: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> dict[str, Any]:
        """The answer to a request, for which the host takes at most `limit` seconds. `waiting` is called with events.

        `trees` are sent before it.
        """
        with self._inbox() as (number, inbox):
            while trees and (part := trees.read(PART_SIZE)):
                self._send(frame(PART, number, part))
            self._send(frame(ASK, number, json.dumps(request | {"limit": limit}).encode()))
            deadline = time.monotonic() + limit + GRACE_S
            while True:
                kind, contents = self._receive(inbox, deadline, limit)
                if kind == ANSWER:
                    return self._answer(json.loads(contents), limit)
                waiting(json.loads(contents))

    @contextmanager
    def _inbox(self) -> Iterator[tuple[int, Inbox]]:
        """The number of a new request, and the queue of what arrives for it."""
        inbox: Inbox = SimpleQueue()
        with self._changing:
            if self._end:
                raise self._end
            number = next(self._numbers)
            self._waiting[number] = inbox
            self._asked = time.monotonic()
        try:
            yield number, inbox
        finally:
            with self._changing:
                if self._waiting.pop(number, None):
                    self._given_up.add(number)

    def _receive(self, inbox: Inbox, deadline: float, limit: float) -> tuple[str, bytes]:
        try:
            arrived = inbox.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            raise self._unreachable(_late(limit)) from None
        if isinstance(arrived, Unreachable):
            raise arrived
        return arrived

    def _answer(self, answer: dict[str, Any], limit: float) -> dict[str, Any]:
        if "killed" in answer:
            raise self._unreachable(_late(limit))
        return answer

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(self._host, "asking its agent", why)

    def _send(self, data: bytes) -> None:
        """Send everything, or end the session: half a frame would spoil those after it."""
        with self._sending:
            moved = time.monotonic()
            while data and not self._end:
                try:
                    sent = self._channel.send(data[:CHUNK])
                except TimeoutError:
                    sent = 0
                except ssh_errors():  # the reader finds out why
                    self._channel.close()
                    return
                if sent:
                    data, moved = data[sent:], time.monotonic()
                elif time.monotonic() - moved > STALL_S:
                    self._finish(self._unreachable(f"nothing could be sent for {STALL_S:.0f} s"))

    def _read(self) -> None:
        """Hand out what arrives, until the agent or the connection ends."""
        reader, errors = Reader(), bytearray()
        with closing(KeepaliveSocket(self._channel)):  # its close() raises no errors
            try:
                while data := self._next(errors):
                    for kind, number, contents in reader.feed(data):
                        self._hand_out(kind, number, contents)
            except Damaged as damage:
                self._finish(self._unreachable(f"its answer is damaged: {damage}"))
            except Exception as bug:  # whoever waits must not wait for a thread that is gone
                self._finish(self._unreachable(unexpected(bug)))
            else:
                self._finish(self._end or self._why_ended(errors))

    def _next(self, errors: bytearray) -> bytes:
        """The next output of the agent; none at its end. Its messages are added to `errors`."""
        while not self._end:
            ended = self._channel.exit_status_ready()  # before reading: then all its output is readable now
            while self._channel.recv_stderr_ready():
                errors += self._channel.recv_stderr(CHUNK)
            try:
                return bytes(self._channel.recv(CHUNK))
            except TimeoutError:
                if ended:
                    break
            except ssh_errors():
                break
        return b""

    def _hand_out(self, kind: str, number: int, contents: bytes) -> None:
        with self._changing:
            inbox = self._waiting.get(number)
            if kind not in (ANSWER, EVENT) or (inbox is None and number not in self._given_up):
                raise Damaged(f"{kind} {number}, which was not asked for")
            if inbox is not None:
                inbox.put((kind, contents))
            if kind == ANSWER:
                self._waiting.pop(number, None)
                self._given_up.discard(number)

    def _why_ended(self, errors: bytearray) -> Unreachable:
        self._channel.status_event.wait(AGENT_S)
        code = self._channel.recv_exit_status() if self._channel.exit_status_ready() else -1
        if code == -1 and self._connection.has_ended():
            return lost(self._host)
        while self._channel.recv_stderr_ready():
            errors += self._channel.recv_stderr(CHUNK)
        said = errors.decode(errors="replace").strip()[-500:]
        return self._unreachable(said or ("it was killed" if code == -1 else f"its agent ended (exit {code})"))

    def _finish(self, end: Unreachable) -> None:
        """End the session, and every request that waits, with this error."""
        with self._changing:
            self._end = self._end or end
            for inbox in self._waiting.values():
                inbox.put(self._end)


def _late(limit: float) -> str:
    return f"it was killed, or did not end within {limit:.0f} s"
