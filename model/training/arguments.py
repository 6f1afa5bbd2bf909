"""The command-line arguments of model.train; imports neither NumPy nor TensorFlow, so pneumoctl can parse them, too."""

from __future__ import annotations

import argparse

from model import settings as choices
from model.data.options import add_options
from model.settings import TrainSettings

_DESCRIPTION = "Train a classifier. A run that was killed at any step continues with --resume to the same result."
_EPILOG = (
    "Defaults shown are those of --arch dag --optimizer adam. resnet50 takes 224 x 224 pixels, one dense layer of 256 "
    "units and trains the head alone for a third of the epochs. The learning rate of sgd is 0.01 and that of adadelta "
    "1.0 unless --learning-rate is given."
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
    for name in ("epochs", "batch", "seed", "height", "width", "patience", "grace", "head-epochs", "unfrozen"):
        parser.add_argument(f"--{name}", type=int, help=_default(name))
    for name in ("learning-rate", "warmup", "dropout", "l2", "average", "augment", "validation-share"):
        parser.add_argument(f"--{name}", type=float, help=_default(name))
    for name in ("target-sensitivity", "fixed-specificity", "collapse-share"):
        parser.add_argument(f"--{name}", type=float, help=_default(name))
    for name in ("mirror", "class-weights"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=_default(name))


def _default(name: str) -> str:
    return f"default {getattr(TrainSettings, name.replace('-', '_'))}"
