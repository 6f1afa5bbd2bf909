"""Keep the features of pictures in a file for each view of them, so that a frozen trunk computes each row once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import write_json

log = logging.getLogger(__name__)
KEY = "key.json"
MAX_BYTES = 20_000_000_000
FREE_SHARE = 0.5  # of the free disk that a cache may take


class FeatureCache:
    """Rows of float32 arrays in a folder, by view and number of the picture.

    shapes: of one row, without the first axis. Each row is stored with its CRC-32: a row that was never written, or
    that is damaged, is missing. The folder of another `key` is emptied first. A disk that is full ends the writing.
    """

    def __init__(self, directory: Path, key: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]) -> None:
        self.directory, self._shapes = directory, [tuple(shape) for shape in shapes]
        self._row_bytes = 4 + row_bytes(self._shapes)
        self._writing = True
        document = {**key, "shapes": [list(shape) for shape in self._shapes]}
        if _recorded(directory / KEY) != document:
            self.remove()
            directory.mkdir(parents=True)
            write_json(directory / KEY, document)

    def read(self, view: str, numbers: np.ndarray) -> list[np.ndarray] | None:
        """The features of pictures, float32 [n, ..] each; None if that of any is missing."""
        rows = []
        try:
            file = os.open(self._path(view), os.O_RDONLY)
        except OSError:
            return None
        try:
            for number in numbers:
                row = os.pread(file, self._row_bytes, int(number) * self._row_bytes)
                if len(row) < self._row_bytes or zlib.crc32(row[4:]).to_bytes(4, "little") != row[:4]:
                    return None
                rows.append(np.frombuffer(row, np.float32, offset=4))
        except OSError:
            return None
        finally:
            os.close(file)
        return self._parted(np.stack(rows))

    def write(self, view: str, numbers: np.ndarray, features: Sequence[np.ndarray]) -> None:
        """Store the features of pictures, float32 [n, ..] each."""
        if not self._writing:
            return
        try:
            file = os.open(self._path(view), os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                for place, number in enumerate(numbers):
                    row = b"".join(np.asarray(part[place], np.float32).tobytes() for part in features)
                    content = zlib.crc32(row).to_bytes(4, "little") + row
                    if os.pwrite(file, content, int(number) * self._row_bytes) < len(content):
                        raise OSError("the row was not written completely")
            finally:
                os.close(file)
        except OSError as error:
            self._writing = False
            log.warning("no more features are kept (%s): the frozen layers are computed again", error)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, view: str) -> Path:
        return self.directory / f"{view}.rows"

    def _parted(self, rows: np.ndarray) -> list[np.ndarray]:
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]


def row_bytes(shapes: Sequence[tuple[int, ...]]) -> int:
    """The bytes of the features of one picture."""
    return 4 * sum(int(np.prod(shape)) for shape in shapes)


def fits(directory: Path, size: int) -> bool:
    """Whether a cache of `size` bytes is within the limit and within a share of what is free on the disk."""
    usage = shutil.disk_usage(directory)
    there = sum(file.stat().st_blocks * 512 for file in directory.rglob("*.rows"))
    return size <= min(MAX_BYTES, FREE_SHARE * (usage.free + there))


def digest(arrays: Sequence[np.ndarray]) -> str:
    """The SHA-256 of arrays: their types, shapes and contents."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _recorded(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
