"""The command-line arguments of model.train; imports neither NumPy nor TensorFlow, so pneumoctl can parse them, too."""

from __future__ import annotations

import argparse
from typing import Any

from model import settings as choices
from model.data.options import add_options
from model.settings import SettingsError, TrainSettings

_DESCRIPTION = "Train a classifier. A run that was killed at any step continues with --resume to the same result."
_EPILOG = (
    "Defaults shown are those of --arch dag --optimizer adam. resnet50 takes 224 x 224 pixels, one dense layer of 256 "
    "units, trains the head alone for a third of the epochs and alters each picture in 4 ways (--views). The learning "
    "rate of sgd is 0.01 and that of adadelta 1.0 unless --learning-rate is given."
)


def parser() -> argparse.ArgumentParser:
    """The parser; options of TrainSettings default to None, which means: not chosen."""
    parser = argparse.ArgumentParser(prog="python -m model.train", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "data", help="folder with train/test x NORMAL/PNEUMONIA, a manifest .csv, or a PneumoniaMNIST .npz"
    )
    parser.add_argument("--out", required=True, help="run directory: settings, log, checkpoints, history, bundle")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out with its saved settings")
    parser.add_argument("--name", help="name of the bundle (default: ARCH-DATA)")
    add_options(parser)
    parser.add_argument("--test", action="store_true", help="score the test split once, for the model card")
    parser.add_argument("--checkpoint-steps", type=int, default=50, help="steps between checkpoints (default 50)")
    _add_choices(parser)
    _add_numbers(parser)
    return parser


def choose_settings(options: argparse.Namespace) -> TrainSettings:
    """The settings of a new run, from parsed arguments. Raises SettingsError for a value that is not allowed."""
    if options.checkpoint_steps < 1:
        raise SettingsError(f"--checkpoint-steps is {options.checkpoint_steps}: it must be at least 1")
    return choices.choose(**chosen(options))


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Those settings that the arguments name."""
    given = {name: getattr(options, name, None) for name in TrainSettings.__dataclass_fields__}
    return {name: tuple(value) if name == "dense" else value for name, value in given.items() if value is not None}


def _add_choices(parser: argparse.ArgumentParser) -> None:
    for name, allowed in (
        ("arch", choices.ARCHITECTURES),
        ("loss", choices.LOSSES),
        ("optimizer", choices.OPTIMIZERS),
        ("metric", choices.METRICS),
        ("precision", choices.PRECISIONS),
    ):
        parser.add_argument(f"--{name}", choices=allowed, help=_default(name))
    parser.add_argument("--weights", help="imagenet (resnet50), none, or a file with initial weights (default none)")
    parser.add_argument("--dense", type=int, nargs="*", help="units of the dense layers before the output")


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    for name in ("epochs", "batch", "seed", "split-seed", "height", "width"):
        parser.add_argument(f"--{name}", type=int, help=_default(name))
    for name in ("patience", "grace", "head-epochs", "unfrozen", "views"):
        parser.add_argument(f"--{name}", type=int, help=_default(name))
    for name in ("learning-rate", "warmup", "dropout", "l2", "average", "augment", "validation-share"):
        parser.add_argument(f"--{name}", type=float, help=_default(name))
    for name in ("target-sensitivity", "fixed-specificity", "collapse-share"):
        parser.add_argument(f"--{name}", type=float, help=_default(name))
    for name in ("mirror", "class-weights"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=_default(name))


def _default(name: str) -> str:
    return f"default {getattr(TrainSettings, name.replace('-', '_'))}"
