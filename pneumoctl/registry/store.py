"""The models that are kept here: whole bundles, verified and never changed, each in a folder NAME-VERSION."""

import difflib
import json
import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import bundle
from model.bundle import Bundle
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import stack

MANIFEST = "bundle.json"


SHIPPED = "shipped with pneumoctl"


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}-[0-9a-f]{12}")


_EPOCH = (1980, 1, 1, 0, 0, 0)  # a ZIP of the same bundle is the same file


@dataclass(frozen=True)
class Registered:
    """A model: what its bundle.json says, where it lies, and where it is from (a run's id, a file, or SHIPPED)."""

    manifest: dict[str, Any]
    directory: Path
    origin: str = ""

    @property
    def id(self) -> str:
        """NAME-VERSION."""
        return f"{self.manifest['name']}-{self.manifest['version']}"


def home() -> Path:
    """Where they lie: $XDG_DATA_HOME/pneumoctl/models."""
    return stack.exports().with_name("models")


def names() -> list[str]:
    """NAME-VERSION of all that are here, unverified."""
    try:
        return sorted(one.name for one in home().iterdir() if _ID.fullmatch(one.name) and one.is_dir())
    except FileNotFoundError:
        return []


def shipped() -> Registered:
    """The one that comes with pneumoctl."""
    directory = bundle.pretrained()
    return Registered(_sound(directory).manifest, directory, SHIPPED)


def get(name: str, deep: bool = True) -> Registered:
    """The model NAME-VERSION of the registry; `deep` reads all of its files. PneumoError if damaged or not there."""
    directory = home() / name
    if not _ID.fullmatch(name) or not directory.is_dir():
        raise PneumoError(f"there is no model {name} here", f"pneumoctl model ls; or: pneumoctl model pull {name}")
    found = Registered(_sound(directory, deep).manifest, directory, _origin(name))
    if found.id != name:
        raise PneumoError(f"{directory} holds {found.id}: somebody renamed it", f"mv it to {found.id}")
    return found


def find(word: str, deep: bool = True) -> Registered:
    """The one model that a person means by NAME-VERSION, NAME, VERSION or the beginning of one of them."""
    ours = shipped()
    known = sorted({*names(), ours.id})
    fits = [one for one in known if one == word] or [
        one for one in known if one.startswith(word) or one.rpartition("-")[2].startswith(word)
    ]
    if len(fits) > 1:
        raise PneumoError(f"{word} may be {' or '.join(fits)}", f"pneumoctl model show {fits[0]}", Exit.USAGE)
    if not fits:
        near = difflib.get_close_matches(word, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PneumoError(f"there is no model {word} here", f"{hint}pneumoctl model ls", Exit.USAGE)
    return ours if fits[0] == ours.id else get(fits[0], deep)


def register(directory: Path, origin: str = "") -> Registered:
    """Keep a copy of a verified bundle; one that is here already stays as it is. `origin`: the run that made it.

    PneumoError for a bundle that cannot be trusted, and where what is kept under its name is damaged.
    """
    found = _sound(directory)
    name = f"{found.name}-{found.version}"
    if not _ID.fullmatch(name):
        raise PneumoError(f"{name!r} cannot be a model's name", "train it under another --name", Exit.USAGE)
    if (home() / name).exists():
        return get(name)
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home(), prefix=f".{name}.") as beside:
        fresh = Path(beside) / name
        _copy(found, fresh)
        _sound(fresh)
        if origin:
            told = Path(beside) / "origin"
            told.write_text(json.dumps({"origin": origin}))
            told.rename(_origin_file(name))
        try:
            fresh.rename(home() / name)
        except OSError:  # another pneumoctl was faster
            if not (home() / name).is_dir():
                raise
    return get(name)


def export(model: Registered, target: Path) -> None:
    """Write a bundle to a new folder, or to a new file *.zip; whole or not at all."""
    if target.exists():
        raise PneumoError(f"{target} is there already", "name another", Exit.USAGE)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:100]}.") as beside:
        fresh = Path(beside) / target.name
        if target.suffix.lower() == ".zip":
            _zip(model, fresh)
        else:
            _copy(_sound(model.directory), fresh, mode=0o644)
        fresh.rename(target)


def _zip(model: Registered, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted((*model.manifest["files"], MANIFEST)):
            entry = zipfile.ZipInfo(f"{model.id}/{name}", _EPOCH)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, (model.directory / name).read_bytes())


def _copy(found: "Bundle", target: Path, mode: int = 0o444) -> None:
    """The files that the manifest names, and no others."""
    for name in (*found.manifest["files"], MANIFEST):
        stack = target / name
        stack.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found.directory / name, stack)
        stack.chmod(mode)
        with stack.open("rb") as file:
            os.fsync(file.fileno())


def _sound(directory: Path, deep: bool = True) -> "Bundle":
    try:
        return bundle.load(directory, deep=deep)
    except bundle.BundleError as error:
        kept = home() in directory.parents
        hint = f"rm -r {directory}, then register or pull it again" if kept else "take another copy of it"
        raise PneumoError(f"model bundle: {error}", hint) from error


def _origin(name: str) -> str:
    try:
        return str(json.loads(_origin_file(name).read_text())["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _origin_file(name: str) -> Path:
    return home() / f"{name}.origin.json"
