"""One frozen object holds every choice of a training run, and is saved with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ARCHITECTURES = ("dag", "resnet50")
LOSSES = ("bce", "focal")
OPTIMIZERS = ("adam", "sgd", "nadam", "adadelta")
PRECISIONS = ("float32", "bfloat16", "float16", "auto")  # auto: what the GPUs here are good at
METRICS = ("recall", "specificity", "auc", "loss")

# The size each network was made for: ResNet50's ImageNet weights know 224; the DAG is sized for two CPU cores.
DEFAULT_SIDE = {"dag": 160, "resnet50": 224}
# Peak learning rates that suit each optimizer; Adadelta's published rate is 1.0, not Keras' 0.001.
DEFAULT_RATE = {"adam": 1e-3, "nadam": 1e-3, "sgd": 1e-2, "adadelta": 1.0}
DEFAULT_DENSE = {"dag": (), "resnet50": (256,)}


class SettingsError(ValueError):
    """A choice that cannot be trained with; the message is one line for the person who typed it."""


@dataclass(frozen=True)
class TrainSettings:
    """Every choice of a run. Sizes are in pixels, shares and probabilities in 0..1.

    metric: what early stopping and best-weights selection watch on VALIDATION (see watch.watched):
      "recall" is the sensitivity where the specificity is still at least ``fixed_specificity``, so that a model
      which calls everything positive earns nothing; "specificity" is the specificity at ``target_sensitivity``;
      "auc" and "loss" are what they say. Ties are broken by the lower validation loss.
    augment: strength of the augmentation, 1 is the designed strength, 0 turns it off.
    mirror: flip half the pictures left to right. Off, because it moves the heart to the other side.
    weights: "imagenet" (resnet50 only), "none", or a file.
    average: weights are averaged over about 1 / (1 - average) steps (Polyak & Juditsky 1992), and validation judges
      the average; it moves less from epoch to epoch than the weights do. 0 turns it off.
    unfrozen: how many of ResNet50's last layers the second phase trains, at a tenth of the rate.
    precision: what layers compute in (Micikevicius et al. 2018); weights, logit and loss are float32 always.
    head_epochs: epochs of the first phase (head only); counted within ``epochs``; 0 for the DAG.
    """

    arch: str = "dag"
    weights: str = "none"
    loss: str = "bce"
    optimizer: str = "adam"
    metric: str = "recall"
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 1e-3
    warmup: float = 0.05
    seed: int = 7
    height: int = 160
    width: int = 160
    dense: tuple[int, ...] = ()
    dropout: float = 0.3
    l2: float = 1e-4
    average: float = 0.995
    class_weights: bool = True
    unfrozen: int = 15
    head_epochs: int = 0
    target_sensitivity: float = 0.97
    fixed_specificity: float = 0.9
    validation_share: float = 0.12
    augment: float = 1.0
    mirror: bool = False
    patience: int = 8
    grace: int = 3
    collapse_share: float = 0.95
    precision: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dense", tuple(int(units) for units in self.dense))
        _one_of("arch", self.arch, ARCHITECTURES)
        _one_of("loss", self.loss, LOSSES)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("metric", self.metric, METRICS)
        _one_of("precision", self.precision, PRECISIONS)
        if not self.weights:
            raise SettingsError("weights is empty: give imagenet, none or a file")
        if self.weights == "imagenet" and self.arch != "resnet50":
            raise SettingsError("weights imagenet exists for arch resnet50 only; use --weights none or a file")
        self._check_counts()
        self._check_shares()

    def _check_counts(self) -> None:
        for name in ("epochs", "batch", "patience"):
            _within(name, getattr(self, name), 1, 100_000)
        for name in ("height", "width"):
            _within(name, getattr(self, name), 32, 2048)
        _within("seed", self.seed, 0, 2**31 - 1)
        _within("grace", self.grace, 0, 100_000)
        _within("unfrozen", self.unfrozen, 0, 175)
        _within("head_epochs", self.head_epochs, 0, self.epochs)
        if any(units < 1 for units in self.dense):
            raise SettingsError(f"dense is {self.dense}: every layer needs at least one unit")

    def _check_shares(self) -> None:
        _within("learning_rate", self.learning_rate, 1e-9, 100.0)
        _within("warmup", self.warmup, 0.0, 0.5)
        _within("dropout", self.dropout, 0.0, 0.95)
        _within("l2", self.l2, 0.0, 1.0)
        _within("average", self.average, 0.0, 0.9999)
        _within("augment", self.augment, 0.0, 2.0)
        _within("validation_share", self.validation_share, 0.01, 0.5)
        for name in ("target_sensitivity", "fixed_specificity", "collapse_share"):
            _within(name, getattr(self, name), 0.5, 0.9999)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {**asdict(self), "dense": list(self.dense)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainSettings:
        """The settings of a saved run; an unknown or missing key is refused, so that nothing is guessed."""
        known = {field.name for field in fields(cls)}
        unknown, missing = sorted(set(values) - known), sorted(known - set(values))
        if unknown or missing:
            raise SettingsError(f"settings of another version: unknown {unknown}, missing {missing}")
        return cls(**values)


def choose(**given: Any) -> TrainSettings:
    """Settings from the few choices a person made; None means not chosen.

    What depends on the architecture or the optimizer (size, rate, head) follows from it unless given.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    arch, optimizer = chosen.get("arch", "dag"), chosen.get("optimizer", "adam")
    _one_of("arch", arch, ARCHITECTURES)
    _one_of("optimizer", optimizer, OPTIMIZERS)
    epochs = chosen.get("epochs", TrainSettings.epochs)
    follows = {
        "height": DEFAULT_SIDE[arch],
        "width": DEFAULT_SIDE[arch],
        "dense": DEFAULT_DENSE[arch],
        "learning_rate": DEFAULT_RATE[optimizer],
        "head_epochs": math.ceil(epochs / 3) if arch == "resnet50" else 0,
    }
    settings = TrainSettings(**{**follows, **chosen})
    if settings.weights not in ("imagenet", "none") and not Path(settings.weights).is_file():
        raise SettingsError(f"weights: no file {settings.weights}; give imagenet, none or an existing file")
    return settings


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}: choose one of {', '.join(allowed)}")


def _within(name: str, value: Any, low: float, high: float) -> None:
    # bool is an int to Python, and nan compares false to everything: both are refused here.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}: it must lie in {low:g}..{high:g}")
