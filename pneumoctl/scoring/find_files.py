"""Find the picture files that a command line names: files, folders, quoted globs."""

import errno
import glob
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK

from model.images.limits import SUFFIXES
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

STDIN = "-"
_Match = tuple[str, str | None]  # a path, and why it is skipped: empty if it is not, None if its content tells
# A name that is too long is no file's; it may be a glob.
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF, errno.ENAMETOOLONG)
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class FileList:
    """The files to score, each once, in a stable order; and the other files, which are skipped, with the reason.

    unlisted: folders among `files` that cannot be listed.
    """

    files: list[str]
    skipped: dict[str, str]
    unlisted: list[str] = field(default_factory=list)


_PICTURES = "name pictures (PNG, JPEG, DICOM), or folders that contain some"


def find(paths: Iterable[str]) -> FileList:
    """Resolve every path before the first file is scored.

    A file or pipe named by its path is always included, and what cannot be asked about, and a folder that cannot be
    listed: scoring reports its error. From folders and globs only pictures are, by content or suffix.
    Raises PneumoError (usage) if a path matches no file or no picture.
    """
    files: dict[str, None] = {}
    skipped: dict[str, str] = {}
    unlisted: list[str] = []
    for path in paths:
        mode = _mode(path)
        if path == STDIN or S_ISREG(mode or 0) or S_ISFIFO(mode or 0) or (mode is None and not glob.has_magic(path)):
            files[path] = None
            if path != STDIN and S_ISFIFO(mode or 0):
                _announce_pipe(path)
            continue
        found = dict(_expand(path, mode or 0))
        unlisted += [name for name, why in found.items() if why == ""]
        matches = {name: _why_no_picture(name) if why is None else why for name, why in found.items()}
        pictures = [name for name, why in matches.items() if not why]
        if not pictures and mode is None:
            pictures = [path]
        if not pictures:
            matched = f"{counted(len(matches), 'file')}, none of them a picture" if matches else "no file"
            raise PneumoError(f"{path}: {matched}", _PICTURES, Exit.USAGE)
        files.update(dict.fromkeys(pictures))
        skipped.update({name: why for name, why in matches.items() if why})
    return FileList(list(files), {name: skipped[name] for name in sorted(skipped.keys() - files.keys())}, unlisted)


def sent_path(file: str, arguments: Iterable[str]) -> str:
    """The path of a found file that may leave this machine: what is above a named folder, or an absolute path, may not.

    Of /srv/films/ward/p1/a.png it is ward/p1/a.png if the folder /srv/films/ward was named, and a.png if the file was.
    """
    path = Path(os.path.normpath(file))
    for argument in arguments:
        base = _base(argument)
        if base is not None and path.is_relative_to(base):
            return path.relative_to(base.parent).as_posix()
    return path.name if path.is_absolute() or path.parts[:1] == (os.pardir,) else path.as_posix()


def _base(argument: str) -> Path | None:
    """The folder that an argument names, or that its glob starts in; None if it names a file."""
    if S_ISDIR(_mode(argument) or 0):
        return Path(os.path.normpath(argument))
    if not glob.has_magic(argument):
        return None
    parts = Path(argument).parts
    before = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    return Path(os.path.normpath(Path(*before)))


def _announce_pipe(path: str) -> None:
    """Say that a named pipe is read to its end, for which a run may wait; a shell's own pipe already has a writer."""
    if not path.startswith(("/dev/fd/", "/proc/")):
        console.note(f"{path} is a pipe: it is read until its writer closes it")


def _mode(path: str) -> int | None:
    """What a path is, as `st_mode` of a stat; 0 if nothing is there, None if that cannot be asked."""
    if not path:  # Path takes it for this folder
        return 0
    try:
        return Path(path).stat().st_mode
    except ValueError:  # a null byte
        return 0
    except OSError as error:
        return 0 if error.errno in _NOTHING_THERE else None


def _expand(path: str, mode: int) -> Iterator[_Match]:
    """Every file in a folder, or matched by a glob; of a matched folder, every file in it. mode: of the path."""
    if S_ISDIR(mode):
        yield from _walk(path)
        return

    if mode:
        kind = "a socket" if S_ISSOCK(mode) else "a device"
        raise PneumoError(f"{path}: {kind}, which is not read", _PICTURES, Exit.USAGE)
    if not glob.has_magic(path):
        raise PneumoError(f"{path}: no such file or folder", _PICTURES, Exit.USAGE)
    try:
        matches = sorted(map(str, _matched(path)))
    except ValueError as error:  # such as "**.png"
        raise PneumoError(f"{path}: {error}", _PICTURES, Exit.USAGE) from error
    yield from ((folder, "") for folder in _unlisted(path))
    for match in matches:
        if S_ISDIR(_mode(match) or 0):
            yield from _walk(match)
        else:
            yield match, None


def _matched(pattern: str) -> Iterator[Path]:
    """What a glob matches. Unlike glob.glob, Path.glob does not follow loops of links; it refuses absolute patterns."""
    base = Path(pattern).anchor
    return (match for match in Path(base).glob(pattern.removeprefix(base)) if not _hidden(match, Path(pattern)))


def _unlisted(pattern: str) -> Iterator[str]:
    """The folders that a glob would have to list and cannot: Path.glob passes over them."""
    parts = Path(pattern).parts
    for number, part in enumerate(parts):
        if glob.has_magic(part):
            above = Path(*parts[: number + (part == "**")])
            folders = _matched(str(above)) if glob.has_magic(str(above)) else [above]
            yield from (
                str(folder) for folder in folders if S_ISDIR(_mode(str(folder)) or 0) and not _is_listed(folder)
            )


def _is_listed(folder: Path) -> bool:
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def _hidden(match: Path, pattern: Path) -> bool:
    """Whether a part of the path begins with a dot that the pattern does not spell out, as in a shell."""
    return any(name.startswith(".") and name != ".." and name not in pattern.parts for name in match.parts)


def _walk(folder: str) -> Iterator[_Match]:
    """Every file in a folder and in those in it, the links to other folders, and the folders that cannot be listed."""
    unlisted: list[str] = []
    for where, folders, names in os.walk(folder, onerror=lambda error: unlisted.append(str(Path(error.filename)))):
        yield from ((name, "") for name in unlisted)
        unlisted.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = filter(os.path.islink, (str(Path(where) / name) for name in folders))
        yield from ((link, "a link to a folder, which is not followed") for link in links)
        for name in sorted(names):
            if not name.startswith("."):  # such as the "._" shadows that macOS leaves beside every picture
                yield str(Path(where) / name), None
    yield from ((name, "") for name in unlisted)


def _why_no_picture(name: str) -> str:
    """Why a file is skipped; empty if it is a picture, or cannot be read: scoring then reports the error."""
    path = Path(name)
    if path.name == "DICOMDIR":
        return "the index of a DICOM medium"
    mode = _mode(name)
    if mode is not None and not S_ISREG(mode):
        return "not a regular file, or a link to nothing"
    if mode is None or path.suffix.lower() in SUFFIXES:
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return ""
    is_picture = head.startswith(_MAGIC) or head[128:] == b"DICM"
    return "" if is_picture else "no picture by its name or its first bytes"
