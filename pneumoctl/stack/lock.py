"""The lock of a stack: one pneumoctl process at a time. The kernel releases it when the process ends."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError


@contextmanager
def held(path: Path, command: str) -> Iterator[None]:
    """Hold the lock at `path`. Raises PneumoError (exit 5), which names the holder, if another process holds it.

    The kernel releases a flock when the process ends or is killed, so a lock never has to be removed by hand. The file
    is removed at the end; a killed process leaves it.
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
        path.unlink(missing_ok=True)  # while it is held: another process cannot have locked this file
        os.close(handle)


def _acquire(path: Path) -> int:
    """Lock the file at `path`; open it again if the previous holder removed it in between."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise _locked(path) from None
        os.close(handle)


def _locked(path: Path) -> PneumoError:
    try:
        holder = json.loads(path.read_text())
        who = f"pneumoctl {holder['command']} (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError, OSError):
        holder, who = {}, "another pneumoctl"
    return PneumoError(
        f"the stack is locked by {who}", "wait for it to end, then run this again", Exit.LOCKED, holder=holder
    )
