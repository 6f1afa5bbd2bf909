"""Keep a half-downloaded file and what is known of it, so that a later process can go on with it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


class FetchError(Exception):
    """What could not be fetched and why, and in `hint` what to do now."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class State:
    """What the server said of the file: its address, a validator for If-Range ("" if none), its size (0 if unknown)."""

    address: str = ""
    validator: str = ""
    total: int = 0


class Part:
    """NAME.part, open behind what it holds, and NAME.part.json, the State of the file that it is a part of."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self.path = file, path
        self._note = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes there."""
        return self._file.tell()

    def write(self, data: bytes) -> None:
        """Put bytes behind the others."""
        self._file.write(data)

    def flush(self) -> None:
        """Give what is buffered to the system; a kill loses it before."""
        self._file.flush()

    def state(self, address: str) -> State:
        """The state of the begun file; an empty one when it is of another address or its note is damaged."""
        try:
            state = State(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return State()
        return state if state.address == address else State()

    def restart(self, state: State) -> None:
        """Throw away the bytes; the note is written after that, so it never speaks of another file's bytes."""
        self._note.unlink(missing_ok=True)
        self._file.truncate(0)
        self._file.seek(0)
        beside = self._note.with_name(f"{self._note.name}.new")
        beside.write_text(json.dumps(asdict(state)), encoding="utf-8")
        beside.replace(self._note)

    def check_room(self, total: int) -> None:
        """Raise OSError when `total` bytes do not fit on the disk."""
        free = shutil.disk_usage(self.path.parent).free
        if total > free:
            raise OSError(None, f"{total:,} bytes are needed there, {free:,} are free")

    def move(self, target: Path) -> None:
        """Give the part its final name, flushed to the disk first; its note goes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._note.unlink(missing_ok=True)
        self.path.replace(target)


@contextmanager
def begun(path: Path) -> Iterator[Part]:
    """The part at `path`, empty or begun earlier. A second process is refused; a killed one leaves no lock.

    Raises FetchError while another process holds it.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it until now may have renamed it: then this is the finished file, not a part.
            held = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            held = False
        if not held:
            raise FetchError(f"{path} is being downloaded by another process", "wait until it has finished")
        file.seek(0, os.SEEK_END)
        yield Part(file, path)


def digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file; `algorithm` as hashlib names it (publishers still state MD5)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
