"""Compare training with kept features of the frozen layers with a plain `fit` of the same ResNet50.

`python -m tests.bench.bench_features [--images 160] [--views 1]`; drawings of 224 x 224, random weights, on
the processors. After each epoch of ours, `fit` trains one epoch on the same pictures, without augmentation. The
processor seconds of the steps are compared: `fit` neither validates nor saves checkpoints. The goal is 4.5 x the images
per processor second once the features are kept.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.bench_startup import ROOT

GOAL = 4.5


def naive(settings: Any, train: Any) -> Any:
    """A function that trains one epoch of the same network by `fit`, and returns its processor seconds."""
    import keras

    from model.training import network

    model = network.build(settings)
    network.set_trainable(model, settings, 2)
    model.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True))
    pixels, labels = train[0].astype(np.float32), train[1][:, np.newaxis].astype(np.float32)

    def epoch() -> float:
        started = time.process_time()
        model.fit(pixels, labels, batch_size=settings.batch, verbose=0)
        return time.process_time() - started

    epoch()  # compiles
    return epoch


def measure(settings: Any, train: Any, validation: Any, shifted: Any, folder: Path) -> list[dict[str, Any]]:
    """Train by our loop, each epoch followed by one of `fit`; the first epoch of each phase also compiles."""
    from model.training import features, loop, network
    from model.training.checkpoint import Checkpoints

    loop.make_deterministic(settings.seed)
    plain, model = naive(settings, train), network.build(settings)
    kept = features.of_run(model, settings, train, validation, shifted, folder)
    assert kept is not None
    epochs: list[dict[str, Any]] = []
    started, ours = time.process_time(), 0.0

    def on_step(progress: Any, steps: int) -> None:
        nonlocal started, ours
        if progress.batch == steps:
            ours = time.process_time() - started
        elif progress.batch == 0:
            number = progress.epoch - 1
            first = number in (0, settings.head_epochs)
            kind = "head alone" if number < settings.head_epochs else "head and last layers"
            epochs.append({"number": number, "kind": kind, "first": first, "ours": ours, "plain": plain()})
            print(f"epoch {number}: {kind}, ours {ours:.2f} s, fit {epochs[-1]['plain']:.2f} s", flush=True)
            started = time.process_time()

    checkpoints = Checkpoints(folder / "checkpoints", "bench")
    loop.TrainingLoop(
        model, settings, train, validation, checkpoints, 10_000, on_step, lambda: False, kept, shifted
    ).run()
    kept.remove()
    return epochs


def main() -> None:
    """Measure and print the ratios."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(ROOT))
    from model import phantom
    from model.data.shifted import DRAWS, shifted
    from model.images.decode import to_input
    from model.settings import choose

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--views", type=int, default=1)
    options = parser.parse_args()
    settings = choose(arch="resnet50", epochs=options.epochs, views=options.views, patience=1000, grace=1000)
    drawings = [phantom.draw(number, 224, number % 2 == 0) for number in range(options.images + 4)]
    pixels = np.stack([np.asarray(drawing)[:, :, np.newaxis] for drawing in drawings])
    labels = (np.arange(len(pixels)) + 1) % 2
    train, validation = (pixels[4:], labels[4:]), (pixels[:4], labels[:4])
    dice = np.random.default_rng(settings.seed)
    copies = [to_input(shifted(drawing, dice), 224, 224) for drawing in drawings[:4] for _ in range(DRAWS)]
    with tempfile.TemporaryDirectory() as folder:
        epochs = measure(settings, train, validation, (np.stack(copies), labels[:4].repeat(DRAWS)), Path(folder))
    for kind in ("head alone", "head and last layers"):
        kept = [one for one in epochs if one["kind"] == kind and not one["first"] and one["number"] >= options.views]
        if kept:
            ratio = sum(one["plain"] for one in kept) / sum(one["ours"] for one in kept)
            met = f" (goal {GOAL}: {'met' if ratio >= GOAL else 'MISSED'})"
            print(
                f"{kind}, features kept, {len(kept)} epochs: {ratio:.2f} x the images per processor second of fit{met}"
            )
    whole = sum(one["plain"] for one in epochs) / sum(one["ours"] for one in epochs)
    print(f"all {len(epochs)} epochs, with the first of each view and compilation: {whole:.2f} x")


if __name__ == "__main__":
    main()
