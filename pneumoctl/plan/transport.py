"""Carry out actions: the protocol, and its implementation for this machine."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pneumoctl.atomic import replace_link
from pneumoctl.files import remove_leftovers, write_atomically

# What commands and services get of the caller's environment. Everything else is ours to say: GUNICORN_CMD_ARGS,
# PYTHONWARNINGS or PROMETHEUS_MULTIPROC_DIR of somebody's shell would change or end what we start.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def inherited(environ: Mapping[str, str], *more: str) -> dict[str, str]:
    """The part of an environment that is passed on: INHERITED, the locale, and the names in `more`."""
    names = (*INHERITED, *more)
    return {name: value for name, value in environ.items() if name in names or name.startswith("LC_")}


@dataclass(frozen=True)
class Output:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str

    def tail(self, lines: int = 20) -> str:
        """The last lines of the output, stderr after stdout."""
        return "\n".join((self.stdout + self.stderr).strip().splitlines()[-lines:])


class Transport(Protocol):
    """The operations that a step needs; each takes effect completely or raises OSError."""

    def run(self, argv: Sequence[str], timeout: float) -> Output:
        """Run a command; code 124 after a time-out, 127 if the program is missing."""

    def read(self, path: str) -> bytes | None:
        """The contents of a file; None if it is missing."""

    def put(self, content: bytes, path: str, mode: int) -> None:
        """Replace a file atomically."""

    def copy(self, source: str, path: str, exclude: Sequence[str]) -> None:
        """Replace a tree by a copy of a local one; it appears completely or not at all."""

    def link(self, path: str, target: str) -> None:
        """Replace a symbolic link atomically."""

    def fetch(self, source: str, path: str) -> None:
        """Replace a local tree by a copy of the host's; it appears completely or not at all."""


class LocalTransport:
    """Acts on this machine."""

    def run(self, argv: Sequence[str], timeout: float) -> Output:
        """See Transport."""
        try:
            done = subprocess.run(
                list(argv),
                env=inherited(os.environ, "PYTHONPATH"),  # our own modules may lie on that path
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            stderr = late.stderr.decode(errors="replace") if isinstance(late.stderr, bytes) else ""
            return Output(124, "", f"{stderr}\n{argv[0]}: did not end within {timeout:.0f} s")
        except FileNotFoundError:
            return Output(127, "", f"{argv[0]}: not found")
        return Output(done.returncode, done.stdout, done.stderr)

    def read(self, path: str) -> bytes | None:
        """See Transport."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, content: bytes, path: str, mode: int) -> None:
        """See Transport."""
        write_atomically(Path(path), content, mode)

    def copy(self, source: str, path: str, exclude: Sequence[str]) -> None:
        """See Transport."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(final)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as temporary:
            copied = Path(temporary) / "tree"
            shutil.copytree(source, copied, ignore=shutil.ignore_patterns(*exclude), symlinks=True)
            if final.exists():
                final.rename(Path(temporary) / "old")
            copied.rename(final)

    def link(self, path: str, target: str) -> None:
        """See Transport."""
        replace_link(Path(path), target)

    def fetch(self, source: str, path: str) -> None:
        """See Transport."""
        self.copy(source, path, ())
