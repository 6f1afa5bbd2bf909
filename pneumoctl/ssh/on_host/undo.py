"""Save the files and links that a step changes, and restore them."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import stat

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.files import content, link, write

if TYPE_CHECKING:
    from pneumoctl.ssh.on_host import Document


class Undo:
    """The files and links before a step, saved on disk so that even a killed step can be undone."""

    def __init__(self, step: str) -> None:
        self._all = f"{on_host.STATE}/undo"
        self.folder = f"{self._all}/{_saved_name(step)}"

    def save(self, path: str) -> None:
        """Save a file or link before it is changed. An older copy, which a killed attempt saved, is kept."""
        os.makedirs(self.folder, exist_ok=True, mode=0o700)
        saved = f"{self.folder}/{_saved_name(path)}"
        if _lstat(saved):
            return
        before: Document = {"path": path}
        state = _lstat(path)
        if state and stat.S_ISLNK(state.st_mode):
            before["target"] = os.readlink(path)
        elif state:
            before |= {"mode": state.st_mode & 0o7777, "group": grp.getgrgid(state.st_gid).gr_name}
            before["content"] = content(path).decode("latin-1")
        write(saved, json.dumps(before).encode(), 0o600)

    def pending(self) -> bool:
        """Whether the step was killed before its end, or still runs: its changes are not verified."""
        return bool(_saved_copies(self.folder))

    def restore(self) -> None:
        """Put every saved file and link back."""
        for saved in _saved_copies(self.folder):
            before = json.loads(content(f"{self.folder}/{saved}"))
            path = before["path"]
            if "target" in before:
                link(path, before["target"])
            elif "content" in before:
                write(path, before["content"].encode("latin-1"), before["mode"], before["group"])
            else:
                _remove(path)
        self._remove_folder()

    def discard(self) -> None:
        """Delete the saved copies: the step succeeded, and its changes must not be undone later."""
        for saved in _saved_copies(self.folder):
            for folder in _saved_copies(self._all):
                _remove(f"{self._all}/{folder}/{saved}")
        self._remove_folder()

    def _remove_folder(self) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                os.unlink(f"{self.folder}/{name}")
            os.rmdir(self.folder)


def _saved_name(text: str) -> str:
    """The name under which something of this id or path is saved."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _saved_copies(folder: str) -> list[str]:
    """The saved copies in a folder, without the temporary file of a write that was killed."""
    with contextlib.suppress(FileNotFoundError):
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    return []


def _lstat(path: str) -> os.stat_result | None:
    """None only if nothing lies at `path`: what cannot be read must not be taken for absent, and removed later."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.lstat(path)
    return None


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
