"""Training batches of a network with frozen layers: their features are kept on disk, and only the tail is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras  # noqa: TID253 - only training imports this module
import numpy as np
import tensorflow as tf  # noqa: TID253

from model.files import file_digest
from model.run_dir import FEATURES
from model.settings import TrainSettings
from model.training import augment, feature_cache, frozen, network
from model.training.feature_cache import FeatureCache
from model.training.frozen import Split

VALIDATION, SHIFTED = "validation", "shifted"  # the views of pictures that are measured after each epoch
_CODE = (augment, feature_cache, frozen, network)


class Features:
    """The features of training pictures and of those that are measured, computed once for each view.

    train: pixels uint8 [n, height, width, 1] and labels int [n].
    """

    def __init__(self, split: Split, cache: FeatureCache, settings: TrainSettings, train: Any) -> None:
        self._front, self.tail = split
        self._cache, self._settings, self._train = cache, settings, train

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
        """The batches of `augment.epoch_batches`, with the features in place of the pictures."""
        pixels, labels = self._train
        order = augment.order(len(labels), self._settings.seed, epoch)
        weights = augment.class_weights(labels) if self._settings.class_weights else np.ones(2, np.float32)
        view, size = f"view-{augment.view(self._settings, epoch)}", self._settings.batch
        pictures: Iterator[Any] = iter(())
        expected = -1  # the number of the next batch of `pictures`
        for number in range(skip, math.ceil(len(labels) / size)):
            numbers = order[number * size : (number + 1) * size]
            features = self._cache.read(view, numbers)
            if features is None:
                if number != expected:
                    batches = augment.epoch_batches(pixels, labels, self._settings, epoch, skip=number)
                    pictures = batches.as_numpy_iterator()
                features = self._compute(view, numbers, next(pictures)[0])
                expected = number + 1
            chosen = labels[numbers]
            yield features, chosen[:, np.newaxis].astype(np.float32), weights[chosen]

    def logits(self, view: str, pixels: np.ndarray, size: int) -> np.ndarray:
        """The logits of pictures uint8 [n, height, width, 1], float32 [n], in batches of `size`.

        view: VALIDATION or SHIFTED, of which all calls have the same pictures.
        """
        logits = []
        for first in range(0, len(pixels), size):
            numbers = np.arange(first, min(first + size, len(pixels)))
            features = self._cache.read(view, numbers)
            if features is None:
                features = self._compute(view, numbers, pixels[numbers].astype(np.float32))
            logits.append(self.tail.predict_on_batch(features)[:, 0])
        return np.concatenate(logits)

    def remove(self) -> None:
        """Remove what was kept on disk."""
        self._cache.remove()

    def _compute(self, view: str, numbers: np.ndarray, pixels: np.ndarray) -> list[np.ndarray]:
        computed = self._front.predict_on_batch(pixels)
        features = computed if isinstance(computed, list) else [computed]
        self._cache.write(view, numbers, features)
        return features


def of_run(
    model: keras.Model, settings: TrainSettings, train: Any, validation: Any, shifted: Any | None, out: Path
) -> Features | None:
    """The features of a run that keeps them in its directory `out`, or None if each picture is to be computed anew.

    shifted: copies of the validation films, if the run measures these, too.
    They are kept if some layers stay frozen, pictures come back (settings.views, or no augmentation), the features are
    float32 and fit on the disk.
    """
    views = augment.views(settings)
    split = frozen.split(model, settings) if views and settings.precision == "float32" else None
    if split is None:
        return None
    shapes = [tuple(int(side) for side in output.shape[1:]) for output in split.front.outputs]
    measured = [validation[0]] if shifted is None else [validation[0], shifted[0]]
    size = (views * len(train[1]) + sum(len(pixels) for pixels in measured)) * feature_cache.row_bytes(shapes)
    if not feature_cache.fits(out, size):
        return None
    key = _key(split, settings, [train[0], *measured])
    return Features(split, FeatureCache(out / FEATURES, key, shapes), settings, train)


def _key(split: Split, settings: TrainSettings, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the features depend on: pictures, augmentation, frozen weights and code."""
    augmentation = {name: getattr(settings, name) for name in ("seed", "augment", "mirror", "views", "height", "width")}
    return {
        "pictures": feature_cache.digest(pictures),
        "augmentation": augmentation,
        "weights": feature_cache.digest(split.front.get_weights()),
        "code": [file_digest(Path(module.__file__)) for module in _CODE],
        "versions": [tf.__version__, keras.__version__],
    }
