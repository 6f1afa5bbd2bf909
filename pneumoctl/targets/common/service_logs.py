"""Log files on this machine: those of the local services, and those of terraform."""

import os
import time
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

BLOCK = 65536  # bytes


def show(stack: Stack, service: str | None, lines: int, follow: bool) -> int:
    """Print the last lines of one log or of all logs; with `follow`, also print new lines until Ctrl-C."""
    files = {file.stem: file for file in sorted(stack.layout.logs.glob("*.log"))}
    if service is not None and service not in files:
        available = f"choose one of: {', '.join(files)}" if files else "the stack has no logs yet"
        raise PneumoError(f"unknown log {service!r}; {available}", "pneumoctl status", Exit.USAGE)
    chosen = {service: files[service]} if service else files
    ends = {name: tail(file, lines) for name, file in chosen.items()}
    console.result({"stack": stack.name, "logs": ends})
    for name, last in ends.items():
        for line in last:
            console.text(f"{name:12} {line}", verbatim=True)
    if follow and not console.json_mode:
        _follow(chosen)
    return Exit.DONE


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a file, each whole, without reading all of a long file."""
    with file.open("rb") as source:
        start, read = source.seek(0, os.SEEK_END), b""
        while start and read.count(b"\n") <= lines:  # one more than wanted: the first may be incomplete
            before = max(0, start - max(BLOCK, len(read)))
            source.seek(before)
            read, start = source.read(start - before) + read, before
    return [line.decode(errors="replace") for line in read.splitlines()[-lines:]]


def _follow(files: dict[Any, Path]) -> None:
    offsets = {name: file.stat().st_size for name, file in files.items()}
    while True:
        for name, file in files.items():
            if not file.exists():
                return  # the stack was torn down
            size = file.stat().st_size
            with file.open("rb") as source:
                source.seek(offsets[name] if size >= offsets[name] else 0)  # smaller than before: the file was rotated
                for line in source.read().decode(errors="replace").splitlines():
                    console.text(f"{name:12} {line}", verbatim=True)
                offsets[name] = source.tell()
        console.flush()
        time.sleep(0.3)
