"""Files and links that are read, or replaced atomically."""

from __future__ import annotations

import contextlib
import grp
import os

from pneumoctl.atomic import replace_file, replace_link
from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees


def read(request: Document, _: Trees) -> Document:
    """The contents of files; None for a missing one."""
    return {"texts": [_text(path) for path in request["paths"]]}


def _text(path: str) -> str | None:
    with contextlib.suppress(OSError):
        return content(path).decode(errors="replace")
    return None


def content(path: str) -> bytes:
    """A file's contents."""
    with open(path, "rb") as file:
        return file.read()


def write(path: str, content: bytes, mode: int, group: str = "") -> None:
    """Replace a file atomically; parent folders are created."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    replace_file(path, content, mode, group=grp.getgrnam(group).gr_gid if group else -1)


def link(path: str, target: str) -> None:
    """Replace a symbolic link atomically; parent folders are created."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    replace_link(path, target)
