"""Train the original's ResNet50 for minutes on a GPU: images a second in float32 and bfloat16, and the AUC of both.

`python -m tests.bench.device [DATA] [--seconds 100]`, on Keras with JAX, or with `--backend tensorflow`. DATA is a data
set as `model.train` takes it; without one, drawings. The network is that of `model.train --arch resnet50`: dense layers
with L2, batch normalization and dropout; binary cross-entropy, Adam, the last 15 layers trained. Without `--weights` it
starts from random weights, with which the AUC tells little. The validation part is cut from the training pictures by
patient; the test part is not scored. `--steps 2` tries it on a processor.
"""

import argparse
import importlib.util
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

PRECISIONS = ("float32", "bfloat16")
COMPILING = 3  # steps that are not timed


def pictures(source: Path | None, side: int) -> tuple[Any, Any]:
    """The training and the validation part: float32 [n, side, side, 1] in 0..255 and labels float32 [n, 1]."""
    from model import phantom
    from model.data import dataset as data

    if source is None:
        drawn = [np.asarray(phantom.draw(number, side, number % 2 == 0)) for number in range(160)]
        pixels, labels = np.stack(drawn)[..., np.newaxis], (np.arange(160) + 1) % 2
        parts = [(pixels[:128], labels[:128]), (pixels[128:], labels[128:])]
    else:
        split = data.split(data.load(source), 0.12, 7)
        parts = [data.arrays(split.part(name), side, side) for name in ("train", "validation")]
    train, validation = ((x.astype(np.float32), y[:, np.newaxis].astype(np.float32)) for x, y in parts)
    return train, validation


def train(settings: Any, parts: tuple[Any, Any], seconds: float, steps: int) -> dict[str, float]:
    """Train the head for a third of the time, then the last layers, too; at most `steps` steps in each phase.

    Returns steps, images a second of the second phase without its first steps, and the AUC on validation.
    """
    import keras
    from sklearn.metrics import roc_auc_score

    from model.training import network

    keras.utils.set_random_seed(settings.seed)
    model = network.build(settings)
    counted = 0
    for phase, share in ((1, 1 / 3), (2, 2 / 3)):
        network.set_trainable(model, settings, phase)
        rate = settings.learning_rate * (network.FINE_TUNE_RATE if phase == 2 else 1.0)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, jit_compile="auto")
        limit = _limit(seconds * share, steps)
        model.fit(*parts[0], batch_size=settings.batch, epochs=1_000_000, verbose=0, callbacks=[limit])
        counted += limit.steps
    logits = model.predict(parts[1][0], batch_size=settings.batch, verbose=0)[:, 0].astype(np.float64)
    timed = max(1, limit.steps - COMPILING) if limit.steps > COMPILING else 0
    speed = timed * settings.batch / (limit.ended - limit.begun) if timed else float("nan")
    return {"steps": counted, "images a second": speed, "AUC": float(roc_auc_score(parts[1][1][:, 0], logits))}


def _limit(seconds: float, steps: int) -> Any:
    """A callback that ends the training after so many seconds or steps, and times the steps after the first."""
    import keras

    class Limit(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.steps, self.started = 0, time.perf_counter()
            self.begun = self.ended = self.started

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps, now = self.steps + 1, time.perf_counter()
            if self.steps == COMPILING:
                self.begun = now
            if self.steps >= steps or now - self.started >= seconds:
                self.model.stop_training = True

        def on_train_end(self, logs: Any = None) -> None:
            self.ended = time.perf_counter()

    return Limit()


def device() -> str:
    """The device on which Keras computes."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return f"jax {jax.__version__}, {jax.devices()[0].device_kind}"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    named = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    return f"tensorflow {tf.__version__}, {named}"


def main() -> None:
    """Train in each precision and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--backend", choices=("jax", "tensorflow"))
    parser.add_argument("--weights", default="none", help='"imagenet", "none" or a file')
    parser.add_argument("--seconds", type=float, default=100, help="of training in each precision")
    parser.add_argument("--steps", type=int, default=1_000_000, help="at most so many steps in each phase")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=224, help="pixels")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = options.backend or ("jax" if importlib.util.find_spec("jax") else "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from model.settings import choose

    started = time.perf_counter()
    settings = choose(arch="resnet50", weights=options.weights, batch=options.batch)
    settings = replace(settings, height=options.side, width=options.side)
    parts = pictures(options.data, options.side)
    print(f"{device()}; {len(parts[0][0])} training and {len(parts[1][0])} validation pictures", flush=True)
    found = {}
    for precision in PRECISIONS:
        found[precision] = train(replace(settings, precision=precision), parts, options.seconds, options.steps)
        print(
            f"{precision}: " + ", ".join(f"{name} {value:.4g}" for name, value in found[precision].items()), flush=True
        )
    speeds = [found[precision]["images a second"] for precision in PRECISIONS]
    print(f"bfloat16 is {speeds[1] / speeds[0]:.2f} x as fast as float32; {time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
