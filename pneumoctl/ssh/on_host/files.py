"""Commands with a time limit; files, links and trees that are replaced atomically."""

import contextlib
import grp
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

from pneumoctl.files import replace_file, replace_link, tree_digest

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def run(argv: list[str], timeout: float) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); code 124 after a time-out, 127 if the program is missing."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=ENVIRONMENT, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: did not end within {timeout:.0f} s"
    except OSError as error:
        return 127, "", f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def all_succeed(probes: list[dict[str, Any]]) -> bool:
    """Whether a step's probes all succeed; False for a step without probes."""
    return bool(probes) and all(run(probe["argv"], probe["timeout"])[0] == 0 for probe in probes)


def write(path: Path, content: bytes, mode: int, group: str = "") -> None:
    """Replace a file atomically; parent folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content, mode, group=grp.getgrnam(group).gr_gid if group else -1)


def link(path: Path, target: str) -> None:
    """Replace a symbolic link atomically; parent folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_link(path, target)


class Trees:
    """The packed trees that follow a request on stdin, `size` bytes in all."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int) -> bytes:
        """At most `size` of the bytes; none at the end, or if the client is gone."""
        part = self._stream.read(min(size, self._left))
        self._left -= len(part)
        return part

    def read_rest(self) -> None:
        """Discard what no step has read: sshd closes the whole connection if data for an ended command arrives."""
        while self.read(1 << 20):
            pass


def copy(path: Path, digest: str, size: int, stream: Trees) -> None:
    """Unpack a tree of `size` packed bytes beside `path`, check its digest, and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.??????*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        packed, unpacked = Path(temporary, "packed"), Path(temporary, "tree")
        with packed.open("wb") as file:
            while size > 0 and (part := stream.read(min(size, 1 << 20))):
                size -= file.write(part)
        if size:
            raise OSError(f"{path}: the tree did not arrive completely")
        with tarfile.open(packed) as tree:
            tree.extractall(unpacked)  # noqa: S202, the operator packed it
        if tree_digest(unpacked) != digest:
            raise OSError(f"{path}: the tree that arrived is not the planned one; did its source change meanwhile?")
        unpacked.chmod(0o755)
        run(["sync", "-f", str(unpacked)], 120)
        if path.exists():
            path.rename(Path(temporary, "old"))
        unpacked.rename(path)
        os.utime(path)  # old releases are removed by age


def text(path: str) -> str | None:
    """A file's contents; None if there is no such file."""
    with contextlib.suppress(OSError):
        return Path(path).read_bytes().decode(errors="replace")
    return None
