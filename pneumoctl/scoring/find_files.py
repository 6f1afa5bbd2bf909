"""Find the picture files that a command line names: files, folders, quoted globs."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError

STDIN = "-"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom"}
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Found:
    """The files to score, each once, in a stable order; and how many others lay beside them."""

    files: list[str]
    skipped: int


def find(paths: Iterable[str]) -> Found:
    """Resolve every path before anything is scored.

    A named file or pipe is always taken, whatever it holds; in folders and globs only pictures, by content or suffix.
    Raises PneumoError (usage) for a path that names nothing or no picture.
    """
    files: dict[str, None] = {}
    skipped: set[str] = set()
    for path in paths:
        if path == STDIN or Path(path).is_file() or Path(path).is_fifo():
            files[path] = None
            continue
        here = list(_expand(path))
        pictures = [name for name in here if _is_picture(name)]
        if not pictures:
            found = f"{len(here)} files, none of them a picture" if here else "no file"
            raise PneumoError(f"{path}: {found}", "pneumoctl predict --help", Exit.USAGE)
        files.update(dict.fromkeys(pictures))
        skipped.update(set(here) - set(pictures))
    return Found(list(files), len(skipped - files.keys()))


def _expand(path: str) -> Iterator[str]:
    """Every file in a folder, or matched by a glob; a matched folder counts with all it holds."""
    if Path(path).is_dir():
        yield from _walk(path)
        return

    if Path(path).exists():
        kind = "a socket" if Path(path).is_socket() else "a device"
        raise PneumoError(f"{path}: {kind}, which is not read", "pneumoctl predict --help", Exit.USAGE)
    if not glob.has_magic(path):
        raise PneumoError(f"{path}: no such file or folder", "pneumoctl predict --help", Exit.USAGE)
    base = Path(path).anchor  # Path.glob takes no absolute pattern; unlike glob.glob it follows no loop of links
    matches = (one for one in Path(base).glob(path.removeprefix(base)) if not _hidden(one, Path(path)))
    for match in sorted(map(str, matches)):
        if Path(match).is_dir():
            yield from _walk(match)
        else:
            yield match


def _hidden(match: Path, pattern: Path) -> bool:
    """Whether a name in it begins with a dot that the pattern does not write out, as in a shell."""
    return any(name.startswith(".") and name != ".." and name not in pattern.parts for name in match.parts)


def _walk(folder: str) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        raise PneumoError(f"{error.filename}: {error.strerror}", "make it readable, or name the files", Exit.PARTLY)

    for where, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):  # such as the "._" shadows that macOS leaves beside every picture
                yield str(Path(where) / name)


def _is_picture(name: str) -> bool:
    path = Path(name)
    if path.name == "DICOMDIR" or not path.is_file():  # an index, or something one cannot read to its end
        return False
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return True  # tried again when its turn comes, and then an error that is seen
    return head.startswith(_MAGIC) or head[128:] == b"DICM"
