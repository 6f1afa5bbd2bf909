"""A partially downloaded file and the state of its download, so that a later process can continue it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from model.files import write_text


class FetchError(Exception):
    """A failed download: the message says what failed and why, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class RemoteFile:
    """The file on the server: its address, a validator for If-Range ("" if none), its size (0 if unknown)."""

    address: str = ""
    validator: str = ""
    total: int = 0


class PartialFile:
    """NAME.part, open for appending, and NAME.part.json, which describes the RemoteFile that it is a part of."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self.path = file, path
        self._description = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """The number of bytes received."""
        return self._file.tell()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)

    def flush(self) -> None:
        """Write buffered bytes to the file, so that a kill does not lose them."""
        self._file.flush()

    def remote(self, address: str) -> RemoteFile:
        """The remote file; an empty RemoteFile if it has another address or its description is damaged."""
        try:
            remote = RemoteFile(**json.loads(self._description.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return RemoteFile()
        return remote if remote.address == address else RemoteFile()

    def restart(self, remote: RemoteFile) -> None:
        """Discard the bytes, then write the description; in this order, it never describes bytes of another file."""
        self._description.unlink(missing_ok=True)
        self._file.truncate(0)
        self._file.seek(0)
        write_text(self._description, json.dumps(asdict(remote)))

    def check_room(self, total: int) -> None:
        """Raise OSError if `total` bytes do not fit on the disk."""
        free = shutil.disk_usage(self.path.parent).free
        if total > free:
            raise OSError(None, f"{total:,} bytes are needed, {free:,} are free")

    def move(self, target: Path) -> None:
        """Flush the file to the disk, rename it to `target`, and remove its description."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._description.unlink(missing_ok=True)
        self.path.replace(target)


@contextmanager
def open_partial(path: Path) -> Iterator[PartialFile]:
    """Open and lock the partial file at `path`, new or existing; a killed process leaves no lock.

    Raises FetchError while another process has it locked.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that had locked it may have renamed it: then this is the complete file.
            locked = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            locked = False
        if not locked:
            raise FetchError(f"another process is downloading {path}", "wait until it has finished")
        file.seek(0, os.SEEK_END)
        yield PartialFile(file, path)
