"""Write files atomically, flush them to the disk, and compute their digests."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any


def write_json(path: Path, document: Any) -> None:
    """Write JSON atomically: a reader finds the old or the new document, never a part of one."""
    write_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically: to a temporary file in the same directory, flushed to the disk, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        flush(file)
    temporary.replace(path)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file. Some publishers state MD5, which detects damage but not manipulation."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def flush(file: IO[Any]) -> None:
    """Write the buffered data of an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_directory(directory: Path) -> None:
    """Write the names in a directory to the disk, so that a rename survives a power loss."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
