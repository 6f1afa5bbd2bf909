"""Pack a tree for the transfer to a host."""

import stat
import tarfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import IO


def pack(source: str, exclude: Sequence[str], to: IO[bytes]) -> None:
    """Write a tree to `to` as a compressed tar file whose files belong to root and are readable by every user."""

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.name != "." and any(fnmatch(Path(member.name).name, pattern) for pattern in exclude):
            return None
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            return None  # a pipe or a device has no contents to copy
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() or member.mode & stat.S_IXUSR else 0o644
        return member

    # GNU's format keeps the bytes of a name whatever the host's locale is.
    with tarfile.open(fileobj=to, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=1) as packed:
        packed.add(source, arcname=".", filter=owned_by_root)
