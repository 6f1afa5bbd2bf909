"""The registry of models on this machine: verified, immutable bundles, each in a folder NAME-VERSION."""

import difflib
import json
import os
import re
import shlex
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import bundle
from model.bundle import Bundle
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import ownership, stack

MANIFEST = "bundle.json"
SHIPPED = "shipped with pneumoctl"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ID = re.compile(f"{NAME.pattern}-[0-9a-f]{{12}}")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so that ZIPs of the same bundle are identical


@dataclass(frozen=True)
class Registered:
    """A model: the contents of its bundle.json, its folder, and its origin (a run's id, a file, or SHIPPED)."""

    manifest: dict[str, Any]
    directory: Path
    origin: str = ""

    @property
    def id(self) -> str:
        """NAME-VERSION."""
        return f"{self.manifest['name']}-{self.manifest['version']}"


def home() -> Path:
    """The folder of the registry: $XDG_DATA_HOME/pneumoctl/models."""
    return stack.exports().with_name("models")


def names() -> list[str]:
    """NAME-VERSION of all models of the registry, unverified."""
    try:
        return sorted(path.name for path in home().iterdir() if ID.fullmatch(path.name) and path.is_dir())
    except FileNotFoundError:
        return []


def shipped() -> Registered:
    """The model that comes with pneumoctl."""
    directory = bundle.pretrained()
    return Registered(_verified(directory).manifest, directory, SHIPPED)


def get(name: str, deep: bool = True) -> Registered:
    """The model NAME-VERSION; `deep` verifies all its files. Raises PneumoError if it is missing or damaged."""
    directory = home() / name
    if not ID.fullmatch(name) or not directory.is_dir():
        raise PneumoError(
            f"there is no model {name} here", f"pneumoctl model ls; or: pneumoctl model pull {shlex.quote(name)}"
        )
    model = Registered(_verified(directory, deep).manifest, directory, _origin(name))
    if model.id != name:
        raise PneumoError(
            f"the folder {directory} was renamed: it holds the model {model.id}", f"rename it to {model.id}"
        )
    return model


def find(word: str, deep: bool = True) -> Registered:
    """The one model with that NAME-VERSION, NAME or VERSION, or the beginning of one of them.

    Raises PneumoError (usage) if there is none, or more than one.
    """
    default = shipped()
    ids = sorted({*names(), default.id})
    matches = [id for id in ids if id == word] or [
        id for id in ids if id.startswith(word) or id.rpartition("-")[2].startswith(word)
    ]
    if len(matches) > 1:
        raise PneumoError(f"{word} may be {' or '.join(matches)}", f"pneumoctl model show {matches[0]}", Exit.USAGE)
    if not matches:
        near = difflib.get_close_matches(word, ids, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PneumoError(f"there is no model {word} here", f"{hint}pneumoctl model ls", Exit.USAGE)
    return default if matches[0] == default.id else get(matches[0], deep)


def require_valid_name(name: str, hint: str = "train it under another --name") -> None:
    """Raise PneumoError (usage) for the name of a bundle that cannot be registered."""
    if not NAME.fullmatch(name):
        raise PneumoError(
            f"{name!r} is not a valid model name: use at most 100 letters, digits, '.', '_' and '-', and start with a "
            "letter or digit",
            hint,
            Exit.USAGE,
        )


def register(directory: Path, origin: str = "") -> Registered:
    """Verify a bundle and copy it to the registry, unless it is there already. `origin`: the run that made it.

    Raises PneumoError if the bundle, or the one that the registry has under its name, is damaged.
    """
    bundle = _verified(directory)
    require_valid_name(bundle.name)
    name = f"{bundle.name}-{bundle.version}"
    if (home() / name).exists():
        return get(name)
    ownership.require_writable(home())
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home(), prefix=f".{name}.") as beside:
        fresh = Path(beside) / name
        _copy(bundle, fresh)
        _verified(fresh)
        if origin:
            note = Path(beside) / "origin"
            note.write_text(json.dumps({"origin": origin}))
            note.rename(_origin_file(name))
        try:
            fresh.rename(home() / name)
        except OSError:  # another pneumoctl has registered it meanwhile
            if not (home() / name).is_dir():
                raise
    return get(name)


def export(model: Registered, target: Path) -> None:
    """Write a bundle to a new folder or a new file *.zip, atomically."""
    if target.exists():
        raise PneumoError(f"{target} exists already", "give another name", Exit.USAGE)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:100]}.") as beside:
        fresh = Path(beside) / target.name
        if target.suffix.lower() == ".zip":
            _zip(model, fresh)
        else:
            _copy(_verified(model.directory), fresh, mode=0o644)
        fresh.rename(target)


def _zip(model: Registered, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted((*model.manifest["files"], MANIFEST)):
            entry = zipfile.ZipInfo(f"{model.id}/{name}", _EPOCH)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, (model.directory / name).read_bytes())


def _copy(bundle: Bundle, target: Path, mode: int = 0o444) -> None:
    """Copy the files that the manifest names, and no others."""
    for name in (*bundle.manifest["files"], MANIFEST):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.directory / name, path)
        path.chmod(mode)
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _verified(directory: Path, deep: bool = True) -> Bundle:
    try:
        return bundle.load(directory, deep=deep)
    except bundle.BundleError as error:
        registered = home() in directory.parents
        hint = f"rm -r {directory}, then register or pull it again" if registered else "use another copy of it"
        raise PneumoError(f"model bundle: {error}", hint) from error


def _origin(name: str) -> str:
    try:
        return str(json.loads(_origin_file(name).read_text())["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _origin_file(name: str) -> Path:
    return home() / f"{name}.origin.json"
