"""Training runs of a tiny network on noise."""

from pathlib import Path

import keras  # noqa: TID253
import numpy as np

from model.settings import TrainSettings
from model.training.checkpoint import Checkpoints
from model.training.loop import TrainingLoop

SIDE = 32
COPIES = 36  # shifted ones of the 12 validation films
# One step per epoch without augmentation, with a simple optimizer: for runs that prove what the loop decides.
SHORT = {"batch": 16, "augment": 0.0, "optimizer": "sgd"}


def films(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, of which every second is brighter below: uint8 [count, 32, 32, 1] and labels."""
    pixels = np.random.default_rng(seed).integers(0, 120, (count, SIDE, SIDE, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    pixels[labels == 1, SIDE // 2 :] += 90
    return pixels, labels


def tiny() -> keras.Model:
    """A network with everything that has a state: weights, batch statistics, dropout's random numbers."""
    keras.backend.clear_session(free_memory=False)  # else the layers are numbered on from test to test
    keras.utils.set_random_seed(3)
    pixels = keras.Input((SIDE, SIDE, 1), name="pixels")
    x = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(pixels, keras.layers.Dense(1, name="logit")(x))


def settings(**changes: object) -> TrainSettings:
    small = {"height": SIDE, "width": SIDE, "batch": 8, "epochs": 3, "seed": 4, "metric": "recall"}
    return TrainSettings(**{**small, **changes})


def loop(
    directory: Path, chosen: TrainSettings, tell=lambda *_: None, every: int = 2, stop=lambda: False, count: int = 16
) -> TrainingLoop:
    """Two steps per epoch. With a `count` that leaves a smaller last batch, TensorFlow compiles the step twice."""
    parts = films(count, 1), films(12, 2)
    copies = films(COPIES, 3) if chosen.metric == "shifted_auc" else None
    return TrainingLoop(
        tiny(), chosen, *parts, Checkpoints(directory, "print"), every, tell, stop, features=None, shifted=copies
    )
