"""Find the picture files that a command line names: files, folders, quoted globs."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model.images.limits import SUFFIXES
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

STDIN = "-"
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class FileList:
    """The files to score, each once, in a stable order; and the other files, which are skipped, with the reason."""

    files: list[str]
    skipped: dict[str, str]


_PICTURES = "name pictures (PNG, JPEG, DICOM), or folders that contain some"


def find(paths: Iterable[str]) -> FileList:
    """Resolve every path before the first file is scored.

    A file or pipe named by its path is always included. From folders and globs only pictures are, by content or suffix.
    Raises PneumoError (usage) if a path matches no file or no picture.
    """
    files: dict[str, None] = {}
    skipped: dict[str, str] = {}
    for path in paths:
        if path == STDIN or Path(path).is_file() or Path(path).is_fifo():
            files[path] = None
            _announce_pipe(path)
            continue
        matches = {name: _why_no_picture(name) for name in _expand(path)}
        pictures = [name for name, why in matches.items() if not why]
        if not pictures:
            matched = f"{counted(len(matches), 'file')}, none of them a picture" if matches else "no file"
            raise PneumoError(f"{path}: {matched}", _PICTURES, Exit.USAGE)
        files.update(dict.fromkeys(pictures))
        skipped.update({name: why for name, why in matches.items() if why})
    return FileList(list(files), {name: skipped[name] for name in sorted(skipped.keys() - files.keys())})


def _announce_pipe(path: str) -> None:
    """Say that a named pipe is read to its end, for which a run may wait; a shell's own pipe already has a writer."""
    if path != STDIN and Path(path).is_fifo() and not path.startswith(("/dev/fd/", "/proc/")):
        console.note(f"{path} is a pipe: it is read until its writer closes it")


def _expand(path: str) -> Iterator[str]:
    """Every file in a folder, or matched by a glob; of a matched folder, every file in it."""
    if Path(path).is_dir():
        yield from _walk(path)
        return

    if Path(path).exists():
        kind = "a socket" if Path(path).is_socket() else "a device"
        raise PneumoError(f"{path}: {kind}, which is not read", _PICTURES, Exit.USAGE)
    if not glob.has_magic(path):
        raise PneumoError(f"{path}: no such file or folder", _PICTURES, Exit.USAGE)
    base = Path(path).anchor  # Path.glob refuses absolute patterns; unlike glob.glob it does not follow loops of links
    matches = (match for match in Path(base).glob(path.removeprefix(base)) if not _hidden(match, Path(path)))
    for match in sorted(map(str, matches)):
        if Path(match).is_dir():
            yield from _walk(match)
        else:
            yield match


def _hidden(match: Path, pattern: Path) -> bool:
    """Whether a part of the path begins with a dot that the pattern does not spell out, as in a shell."""
    return any(name.startswith(".") and name != ".." and name not in pattern.parts for name in match.parts)


def _walk(folder: str) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        raise PneumoError(f"{error.filename}: {error.strerror}", "make it readable, or name the files", Exit.PARTLY)

    for where, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):  # such as the "._" shadows that macOS leaves beside every picture
                yield str(Path(where) / name)


def _why_no_picture(name: str) -> str:
    """Why a file is skipped; empty if it is a picture, or cannot be read: scoring then reports the error."""
    path = Path(name)
    if path.name == "DICOMDIR":
        return "the index of a DICOM medium"
    try:
        if not path.is_file():
            return "not a regular file, or a link to nothing"
        if path.suffix.lower() in SUFFIXES:
            return ""
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return ""
    is_picture = head.startswith(_MAGIC) or head[128:] == b"DICM"
    return "" if is_picture else "no picture by its name or its first bytes"
