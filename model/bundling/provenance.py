"""Say where data and bundles come from: their makers, the code, the time, the commands to make them again."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.settings import TrainSettings


@dataclass(frozen=True)
class Origin:
    """What no figure can tell of a bundle, for its card.

    source: a key of SOURCES, or whom to name for the data; command: the commands that make the bundle again
    (told from the settings when empty); created: ISO 8601 time, a part of what the version is hashed over.
    """

    source: str = ""
    command: str = ""
    created: str = ""


def command(settings: TrainSettings, name: str, test: bool, source: str) -> str:
    """The two commands that train and export the same bundle; DATA, RUN and BUNDLE stand for places."""
    from model.settings import choose

    follows = choose(arch=settings.arch, optimizer=settings.optimizer, epochs=settings.epochs)
    train = ["python", "-m", "model.train", "DATA", "--out", "RUN", "--arch", settings.arch]
    for key, value in settings.to_dict().items():
        default = follows.to_dict()[key]
        option = key.replace("_", "-")
        if isinstance(value, bool) and value != default:
            train.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list) and value != default:
            train += [f"--{option}", *map(str, value)]
        elif key != "arch" and not isinstance(value, bool | list) and (value != default or key in ("epochs", "seed")):
            train += [f"--{option}", Path(value).name if key == "weights" else str(value)]
    export = ["python", "-m", "model.export", "RUN", "DATA", "--out", "BUNDLE", "--name", name]
    export += ["--source", source] if source else []
    export += ["--test"] if test else []
    return f"{shlex.join(train)}\n{shlex.join(export)}"


def now() -> str:
    """The time to state as a bundle's creation: SOURCE_DATE_EPOCH when set (reproducible builds), else the clock's."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def code_version() -> str:
    """The installed package's version, and in a checkout the commit, with "-dirty" for changes on top."""
    here = Path(__file__).resolve().parents[2]
    try:
        package = installed("pneumoctl")
    except PackageNotFoundError:
        package = "unpackaged"
    if not (here / ".git").exists():
        return package
    asked = ("git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        commit = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package}+{commit}"
