"""The settings of a training run, which are saved with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ARCHITECTURES = ("dag", "resnet50")
LOSSES = ("bce", "focal")
OPTIMIZERS = ("adam", "sgd", "nadam", "adadelta")
PRECISIONS = ("float32", "bfloat16", "float16", "auto")  # auto: what the GPUs of this machine accelerate
METRICS = ("shifted_auc", "recall", "specificity", "auc", "loss")

# ResNet50's ImageNet weights were trained at 224; the size of the DAG suits two CPU cores.
DEFAULT_SIDE = {"dag": 160, "resnet50": 224}
# Peak learning rates that suit each optimizer; Adadelta's published rate is 1.0, not Keras' 0.001.
DEFAULT_RATE = {"adam": 1e-3, "nadam": 1e-3, "sgd": 1e-2, "adadelta": 1.0}
# With frozen layers, copies that come back need only the trained layers; the DAG has none that are frozen.
DEFAULT_VIEWS = {"dag": 0, "resnet50": 4}
DEFAULT_DENSE = {"dag": (), "resnet50": (256,)}


class SettingsError(ValueError):
    """An invalid setting; the message is one line for the person who typed it."""


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a run. Sizes are in pixels, shares and probabilities in 0..1.

    metric: the validation metric for early stopping and for choosing the best weights (see
      training.validation.validation_metrics): "recall" is the sensitivity at ``fixed_specificity``, so that a model
      that predicts pneumonia for every picture scores 0; "specificity" is the specificity at ``target_sensitivity``;
      "auc" and "loss" have their usual meaning; "shifted_auc" is the area for the shifted copies of the validation
      films (model.data.shifted). The lower validation loss breaks ties.
    augment: strength of the augmentation; 1 is the designed strength, 0 turns it off.
    views: altered copies of each picture, which the epochs use in turn; 0 makes new ones in each epoch.
    mirror: flip half of the pictures left to right. Off by default, because it moves the heart to the other side.
    weights: "imagenet" (resnet50 only), "none", or a file.
    average: weights are averaged over about 1 / (1 - average) steps (Polyak & Juditsky 1992). The average is
      validated, because it varies less between epochs than the weights. 0 turns it off.
    seed: of initial weights, order and augmentation. split_seed: of the validation part and of its shifted copies, so
      that trainings with different seeds can be compared.
    unfrozen: the number of ResNet50's last layers that the second phase trains, at a tenth of the learning rate.
    precision: the type in which layers compute (Micikevicius et al. 2018); weights, logit and loss are float32.
    head_epochs: epochs of the first phase (head only), included in ``epochs``; 0 for the DAG.
    patience: epochs without improvement after which training stops. grace: epochs before a collapse is reported.
    """

    arch: str = "dag"
    weights: str = "none"
    loss: str = "bce"
    optimizer: str = "adam"
    metric: str = "shifted_auc"
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
    split_seed: int = 7
    augment: float = 1.0
    mirror: bool = False
    views: int = 0
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
            raise SettingsError("--weights imagenet exists for arch resnet50 only; use --weights none or a file")
        self._check_counts()
        self._check_shares()

    def _check_counts(self) -> None:
        for name in ("epochs", "batch", "patience"):
            _within(name, getattr(self, name), 1, 100_000)
        for name in ("height", "width"):
            _within(name, getattr(self, name), 32, 2048)
        for name in ("seed", "split_seed"):
            _within(name, getattr(self, name), 0, 2**31 - 1)
        _within("grace", self.grace, 0, 100_000)
        _within("views", self.views, 0, 100_000)
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
        """The settings as a JSON object."""
        return {**asdict(self), "dense": list(self.dense)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainSettings:
        """The settings of a saved run. Raises SettingsError for an unknown or a missing key."""
        values = {"views": 0, **values}  # it came later
        if "split_seed" not in values and "seed" in values:
            values["split_seed"] = values["seed"]  # which cut the validation part, too
        names = {field.name for field in fields(cls)}
        unknown, missing = sorted(set(values) - names), sorted(names - set(values))
        if unknown or missing:
            raise SettingsError(f"the settings are of another version: unknown {unknown}, missing {missing}")
        return cls(**values)


def validation_cut(settings: Mapping[str, Any]) -> tuple[float, int]:
    """(share, seed) of the validation part for saved settings; in older ones, the seed of the training cut it."""
    return settings["validation_share"], settings.get("split_seed", settings["seed"])


def bundle_name(arch: str, data: str) -> str:
    """The default name of a bundle: ARCH-DATA. `data`: the name of the data set."""
    return f"{arch}-{data}".lower().replace("_", "-")


def choose(**options: Any) -> TrainSettings:
    """The settings with the given options; None means not given.

    Defaults that depend on the architecture or the optimizer (size, learning rate, head) follow from it.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    arch, optimizer = chosen.get("arch", "dag"), chosen.get("optimizer", "adam")
    _one_of("arch", arch, ARCHITECTURES)
    _one_of("optimizer", optimizer, OPTIMIZERS)
    epochs = chosen.get("epochs", TrainSettings.epochs)
    defaults = {
        "height": DEFAULT_SIDE[arch],
        "width": DEFAULT_SIDE[arch],
        "dense": DEFAULT_DENSE[arch],
        "views": DEFAULT_VIEWS[arch],
        "learning_rate": DEFAULT_RATE[optimizer],
        "head_epochs": math.ceil(epochs / 3) if arch == "resnet50" else 0,
    }
    settings = TrainSettings(**{**defaults, **chosen})
    if settings.weights not in ("imagenet", "none") and not Path(settings.weights).is_file():
        raise SettingsError(f"weights: no file {settings.weights}; give imagenet, none or an existing file")
    return settings


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}: choose one of {', '.join(allowed)}")


def _within(name: str, value: Any, low: float, high: float) -> None:
    # In Python a bool is an int, and every comparison with nan is false: both are refused here.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}: it must lie in {low:g}..{high:g}")
