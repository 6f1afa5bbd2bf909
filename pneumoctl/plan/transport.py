"""How actions reach a host: the protocol, and the transport to this machine."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pneumoctl.files import _sweep, write_atomically

# What commands and services get of the caller's environment. Everything else is ours to say: GUNICORN_CMD_ARGS,
# PYTHONWARNINGS or PROMETHEUS_MULTIPROC_DIR of somebody's shell would change or end what we start.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def inherited(environ: Mapping[str, str], *more: str) -> dict[str, str]:
    """The part of an environment that is passed on: INHERITED, the locale, and the names in `more`."""
    names = (*INHERITED, *more)
    return {name: value for name, value in environ.items() if name in names or name.startswith("LC_")}


@dataclass(frozen=True)
class Output:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    def tail(self, lines: int = 20) -> str:
        """The last lines it said, errors last."""
        return "\n".join((self.stdout + self.stderr).strip().splitlines()[-lines:])


class Transport(Protocol):
    """The operations that a host must offer; each either happens whole or raises OSError."""

    def run(self, argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Output:
        """Run a command; a time-out is Output 124, a missing program Output 127."""

    def read(self, path: str) -> bytes | None:
        """The contents of a file, None if there is none."""

    def put(self, content: bytes, path: str, mode: int) -> None:
        """Write a file beside its place, then rename."""

    def copy(self, source: str, path: str, exclude: Sequence[str]) -> None:
        """Copy a tree from here beside its place, then rename; an older tree is replaced."""

    def link(self, path: str, target: str) -> None:
        """Make or swap a symbolic link."""

    def fetch(self, source: str, path: str) -> None:
        """Copy a tree from the host beside its place here, then rename."""


class LocalTransport:
    """Acts on this machine."""

    def run(self, argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Output:
        """See Transport."""
        try:
            done = subprocess.run(
                list(argv),
                env={**inherited(os.environ, "PYTHONPATH"), **env},  # our own modules may lie on that path
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = late.stderr.decode(errors="replace") if isinstance(late.stderr, bytes) else ""
            return Output(124, "", f"{said}\n{argv[0]}: no end after {timeout:.0f} s")
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
        _sweep(final)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as beside:
            fresh = Path(beside) / "tree"
            shutil.copytree(source, fresh, ignore=shutil.ignore_patterns(*exclude), symlinks=True)
            if final.exists():
                final.rename(Path(beside) / "old")
            fresh.rename(final)

    def link(self, path: str, target: str) -> None:
        """See Transport."""
        fresh = Path(f"{path}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(path)

    def fetch(self, source: str, path: str) -> None:
        """See Transport."""
        self.copy(source, path, ())
