"""The lock of a stack: one pneumoctl process at a time. The kernel releases it when the process ends."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError


@contextmanager
def held(path: Path, command: str) -> Iterator[None]:
    """Hold the lock at `path`. Raises PneumoError (exit 5), which names the holder, if another process holds it.

    The kernel releases a flock when the process ends or is killed, so a lock never has to be removed by hand. The file
    is removed at the end; a killed process leaves it. Do not remove the file of a running process: the next process
    would make and lock a new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = _acquire(path)
    try:
        holder = {
            "pid": os.getpid(),
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


def _acquire(path: Path, mode: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> int:
    """Lock the file at `path`; open it again if the previous holder removed it in between."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, mode)
        except BlockingIOError:
            error = _locked(handle)
            os.close(handle)
            raise error from None
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


def _locked(handle: int) -> PneumoError:
    """The error that names the holder, read from the open file: the holder may have removed its name."""
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        who = f"pneumoctl {holder['command']} (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError, TypeError, OSError):
        holder, who = {}, "another pneumoctl"
    return PneumoError(
        f"the stack is locked by {who}", "wait for it to end, then run this again", Exit.LOCKED, holder=holder
    )
