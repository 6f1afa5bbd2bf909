"""Locks between the pneumoctl processes of one machine. The kernel releases a lock when its process ends."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import make_private

# `holder` locks the file itself for some microseconds. Whoever finds it locked tries again, several times.
LOOKS, LOOK_S = 4, 0.025
WAIT_POLL_S = 0.1


@contextmanager
def held(path: Path, command: str, what: str = "the stack", hint: str = "", wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path`. Raises PneumoError (exit 5), which names the holder, if another process holds it.

    `wait_s`: how long to wait for the other process to end. For the error: `what` is locked, and `hint` is the next
    command, if waiting is not the only one.

    The kernel releases a flock when the process ends or is killed, so a lock never has to be removed by hand. The file
    is removed at the end; a killed process leaves it. Do not remove the file of a running process: the next process
    would make and lock a new one.
    """
    make_private(path.parent)
    try:
        handle = _acquire_within(path, wait_s)
    except _Taken as taken:
        raise _locked(taken.holder, what, hint) from None
    try:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": command,
            "since": datetime.now(UTC).isoformat("T", "seconds"),
        }
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
        yield
    finally:
        _release(handle, path)


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Hold the lock at `path`; wait while another process holds it. The file is removed at the end."""
    handle = _acquire(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        _release(handle, path)


class _Taken(Exception):
    """Another process holds the lock; `holder` is what it wrote about itself."""

    def __init__(self, holder: dict[str, Any]) -> None:
        super().__init__(holder)
        self.holder = holder


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock at `path` (pid, command, since; empty if the file does not say); None if nobody does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _recorded(handle)
    finally:
        os.close(handle)
    return None


def take(handle: int, mode: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> None:
    """Lock an open file. Raises BlockingIOError if another process holds it, and does not only look at it."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            return fcntl.flock(handle, mode)
        time.sleep(LOOK_S)
    return fcntl.flock(handle, mode)


def _acquire_within(path: Path, wait_s: float) -> int:
    """Lock the file at `path`; try again for `wait_s` seconds. Raises _Taken."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        with suppress(_Taken):
            return _acquire(path)
        time.sleep(WAIT_POLL_S)
    return _acquire(path)


def _acquire(path: Path, mode: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> int:
    """Lock the file at `path`; open it again if the previous holder removed it in between. Raises _Taken."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            take(handle, mode)
        except BlockingIOError:
            holder = _recorded(handle)
            os.close(handle)
            raise _Taken(holder) from None
        if _is_at(path, handle):
            return handle
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Whether the open file still lies at `path`: it may have been removed, and another one made there."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _release(handle: int, path: Path) -> None:
    """Remove the file and release the lock. The file of another holder stays; an error must not hide the command's."""
    try:
        with suppress(OSError):
            if _is_at(path, handle):
                path.unlink()  # while it is held: another process cannot have locked this file
    finally:
        os.close(handle)


def _recorded(handle: int) -> dict[str, Any]:
    """What the holder wrote, read from the open file, because it may have removed its name; empty if not readable."""
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
    except (ValueError, OSError):
        return {}
    return holder if isinstance(holder, dict) and {"command", "pid", "since"} <= set(holder) else {}


def _locked(holder: dict[str, Any], what: str, hint: str) -> PneumoError:
    who = f"pneumoctl {holder['command']} (process {holder['pid']}, since {holder['since']})" if holder else ""
    wait = "wait for it to end, then run this again"
    return PneumoError(
        f"{what} is locked by {who or 'another pneumoctl'}",
        f"{wait}; {hint}" if hint else wait,
        Exit.LOCKED,
        holder=holder,
    )
