"""Trees that are replaced atomically."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from pneumoctl.files import tree_digest
from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.commands import execute
from pneumoctl.ssh.on_host.operations import module

if TYPE_CHECKING:
    from typing import IO

    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees


def copy(action: Document, stream: Trees) -> None:
    """Unpack a tree unless it is there already; its packed bytes are read from the stream in any case."""
    path = Path(action["path"])
    if path.is_dir() and tree_digest(path) == action["digest"]:
        stream.seek(0 if action.get("url") else action["size"], os.SEEK_CUR)
    else:
        _replace(path, action, stream)


def _save(action: Document, stream: Trees, file: IO[bytes]) -> None:
    """Write the packed tree to a file, from its URL or from the stream."""
    size = action["size"]
    if action.get("url"):
        module("download").save(action["url"], size, file)
        return
    while size > 0 and (part := stream.read(min(size, 1 << 20))):
        size -= file.write(part)
    if size:
        raise OSError(f"{action['path']}: the tree did not arrive completely")


def _replace(path: Path, action: Document, stream: Trees) -> None:
    """Unpack a tree beside `path`, check its digest, and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.??????*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        packed, unpacked = Path(temporary, "packed"), Path(temporary, "tree")
        with packed.open("wb") as file:
            _save(action, stream, file)
        with tarfile.open(packed) as tree:
            # The operator packed it. Python 3.14 would change modes; Python 3.11.2, Debian's, has no filters.
            tree.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
            tree.extractall(unpacked)  # noqa: S202
        if tree_digest(unpacked) != action["digest"]:
            raise OSError(f"{path}: the tree that arrived is not the planned one; did its source change meanwhile?")
        unpacked.chmod(0o755)
        execute(["sync", "-f", str(unpacked)], 120)
        if path.exists():
            path.rename(Path(temporary, "old"))
        unpacked.rename(path)
        os.utime(path)  # old releases are removed by age
