"""Sent to a host before the agent: commands that end in time; files, links and trees that are never half-written."""

import contextlib
import grp
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def run(argv: list[str], timeout: float) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); 124 when the time was up, 127 when there is no such program."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=ENVIRONMENT, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: no end after {timeout:.0f} s"
    except OSError as error:
        return 127, "", f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def holds(probes: list[dict[str, Any]]) -> bool:
    """Whether all probes of a step succeed; no probes: there is always something to do."""
    return bool(probes) and all(run(probe["argv"], probe["timeout"])[0] == 0 for probe in probes)


def write(path: Path, content: bytes, mode: int, group: str = "") -> None:
    """Beside its place, synced, renamed: a reader or a crash sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if group:
                os.fchown(file.fileno(), 0, grp.getgrnam(group).gr_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def link(path: Path, target: str) -> None:
    """Point a symbolic link at a target by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)


def copy(path: Path, digest: str, size: int, stream: IO[bytes]) -> None:
    """Unpack a tree of `size` packed bytes beside its place, judge it by its digest, rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.??????*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
        packed, fresh = Path(beside, "packed"), Path(beside, "tree")
        with packed.open("wb") as file:
            while size > 0 and (part := stream.read(min(size, 1 << 20))):
                size -= file.write(part)
        if size:
            raise OSError(f"{path}: the tree did not arrive whole")
        with tarfile.open(packed) as tree:
            tree.extractall(fresh)  # noqa: S202, the operator packed it
        if listing(fresh) != digest:
            raise OSError(f"{path}: what arrived is not what was planned; did the source change meanwhile?")
        fresh.chmod(0o755)
        run(["sync", "-f", str(fresh)], 120)
        if path.exists():
            path.rename(Path(beside, "old"))
        fresh.rename(path)
        os.utime(path)  # releases are dropped by age


def listing(root: Path) -> str:
    """sha256 of the sorted `sha256sum` lines of a tree, as plan.Tree has it."""
    lines = []
    for file in root.rglob("*"):
        if file.is_file():
            name = f"./{file.relative_to(root)}".encode()
            lines.append((name, hashlib.sha256(file.read_bytes()).hexdigest().encode()))
    return hashlib.sha256(b"".join(digest + b"  " + name + b"\n" for name, digest in sorted(lines))).hexdigest()


def text(path: str) -> str | None:
    """A file's contents, None if there is none."""
    with contextlib.suppress(OSError):
        return Path(path).read_bytes().decode(errors="replace")
    return None
