"""Record where a bundle comes from: the source of its data, the code version, the time, and the commands."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from model.bundle import Bundle
from model.run_dir import RECIPE
from model.settings import TrainSettings, choose


@dataclass(frozen=True)
class Origin:
    """The provenance of a bundle, for its card.

    source: a key of SOURCES, or the attribution of the data; ages: the youngest and the oldest patient, if not those
    that its publishers state; command: the commands that make the same bundle (derived
    from the settings if empty); created: ISO 8601 time, which is part of the hash that gives the version; license: of
    the model, an identifier of Hugging Face; recipe: with which the network was trained (model.run_dir.RECIPE).
    """

    source: str = ""
    ages: Sequence[int] | None = None
    command: str = ""
    created: str = ""
    license: str = ""
    recipe: int = RECIPE


def command(settings: TrainSettings, name: str, test: bool, origin: Origin, base: Bundle | None = None) -> str:
    """The commands that train and export the same bundle, and the one that makes it from the networks of `base`.

    DATA, RUN, BUNDLE and BASE are placeholders for paths.
    """
    ages = ["--ages", *map(str, origin.ages)] if origin.ages else []
    source = ["--source", origin.source] if origin.source else []
    license_of_model = ["--license", origin.license] if origin.license else []
    ending = [*ages, *license_of_model, *(["--test"] if test else [])]
    export = ["python", "-m", "model.export", "RUN", "DATA", "--out", "BUNDLE", "--name", name, *source, *ending]
    commands = [shlex.join(_training(settings)), shlex.join(export)]
    if origin.recipe != RECIPE:
        commands.insert(0, f"# recipe {origin.recipe}; with recipe {RECIPE} of this code it is another network:")
    if base is not None:
        again = ["python", "-m", "model.export", "BASE", "DATA", "--out", "BUNDLE", "--name", name, *ending]
        commands += [f"# from version {base.version}:", shlex.join(again)]
    return "\n".join(commands)


def _training(settings: TrainSettings) -> list[str]:
    defaults = choose(arch=settings.arch, optimizer=settings.optimizer, epochs=settings.epochs)
    train = ["python", "-m", "model.train", "DATA", "--out", "RUN", "--arch", settings.arch]
    for key, value in settings.to_dict().items():
        default = defaults.to_dict()[key]
        option = key.replace("_", "-")
        if isinstance(value, bool) and value != default:
            train.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list) and value != default:
            train += [f"--{option}", *map(str, value)]
        elif key != "arch" and not isinstance(value, bool | list) and (value != default or key in ("epochs", "seed")):
            train += [f"--{option}", Path(value).name if key == "weights" else str(value)]
    return train


def now() -> str:
    """The creation time of a bundle: SOURCE_DATE_EPOCH if set (reproducible builds), else the current time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def code_version() -> str:
    """The version of the installed package; in a checkout also the commit, with "-dirty" if files were changed."""
    root = Path(__file__).resolve().parents[2]
    try:
        package = installed("pneumoctl")
    except PackageNotFoundError:
        package = "unpackaged"
    if not (root / ".git").exists():
        return package
    describe = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        commit = subprocess.run(describe, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package}+{commit}"
