"""The logs of the services on this machine."""

import time
from pathlib import Path
from typing import Any

from pneumoctl.terminal.console import console


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a file, without reading all of it."""
    size = file.stat().st_size
    with file.open("rb") as source:
        source.seek(max(0, size - 400 * lines))  # enough for lines of ordinary length
        return source.read().decode(errors="replace").splitlines()[-lines:]


def _follow(files: dict[Any, Path]) -> None:
    places = {name: file.stat().st_size for name, file in files.items()}
    while True:
        for name, file in files.items():
            if not file.exists():
                return  # the stack was torn down
            size = file.stat().st_size
            with file.open("rb") as source:
                source.seek(places[name] if size >= places[name] else 0)  # smaller: it was rotated
                for line in source.read().decode(errors="replace").splitlines():
                    console.text(f"{name:12} {line}")
                places[name] = source.tell()
        console.flush()
        time.sleep(0.3)
