"""One training run from loaded data to the finished bundle; importing this module loads TensorFlow."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf  # noqa: TID253 - model.train imports this module after it has checked its arguments

from model import export, run_dir
from model.bundling import onnx, trained
from model.bundling.provenance import Origin
from model.data import attribution
from model.data import dataset as data
from model.data import shifted as shifted_films
from model.data.dataset import DataSet
from model.evaluation import plots
from model.run_dir import BEST, BUNDLE, CHECKPOINTS
from model.settings import TrainSettings
from model.training import devices, features, loop, network
from model.training.checkpoint import Checkpoints
from model.training.errors import Stopped
from model.training.observer import Observer
from model.training.progress import Progress
from model.training.reporter import Reporter


def initialize_devices() -> None:
    """Let TensorFlow initialize its devices now; it writes to standard error while it does."""
    tf.config.list_logical_devices()


def train_and_bundle(
    options: argparse.Namespace,
    settings: TrainSettings,
    out: Path,
    should_stop: Callable[[], bool],
    reporter: Reporter,
    observer: Observer,
) -> None:
    """Load the data, train, and build the bundle. An error leaves no bundle."""
    settings = replace(settings, precision=devices.resolve_precision(settings.precision))
    loop.make_deterministic(settings.seed)
    dataset = data.split(data.load(options.data), settings.validation_share, settings.split_seed)
    reporter.line(f"{dataset.name}: " + ", ".join(f"{count} {name}" for name, count in dataset.counts().items()))
    description = run_dir.description(out, name=options.name, source=options.source, ages=options.ages)
    fingerprint = run_dir.record_settings(out, settings, dataset, description)
    parts = [data.arrays(dataset.part(name), settings.height, settings.width) for name in ("train", "validation")]
    shifted = None
    if settings.metric == "shifted_auc":
        shifted = shifted_films.arrays(dataset.part("validation"), settings.height, settings.width, settings.split_seed)
    reporter.images, reporter.epochs = len(parts[0][1]), settings.epochs
    distribution = devices.distribution(settings.batch)
    with distribution.scope() if distribution else nullcontext():
        model = network.build(settings)

    def on_step(progress: Progress, steps: int) -> None:
        reporter(progress, steps)
        observer.on_step(progress, steps)

    checkpoints = Checkpoints(out / CHECKPOINTS, fingerprint, on_saved=observer.on_checkpoint)
    kept = None if distribution else features.of_run(model, settings, *parts, shifted, out)
    training = loop.TrainingLoop(
        model, settings, *parts, checkpoints, options.checkpoint_steps, on_step, should_stop, kept, shifted
    )
    observer.on_phase("train")
    progress = _run(training, kept)
    observer.on_phase("evaluate")
    build_bundle(model, settings, dataset, progress, options, description)
    reporter.line(f"epoch {progress.best_epoch + 1} was the best; bundle in {out / BUNDLE}")


def _run(training: loop.TrainingLoop, kept: features.Features | None) -> Progress:
    """Train, and remove the kept features unless the run was stopped: a resumed run uses them."""
    try:
        progress = training.run()
    except Stopped:
        raise
    except BaseException:
        if kept:
            kept.remove()
        raise
    if kept:
        kept.remove()
    return progress


def build_bundle(
    model: Any,
    settings: TrainSettings,
    dataset: DataSet,
    progress: Progress,
    options: argparse.Namespace,
    description: Mapping[str, Any],
) -> None:
    """Save the best weights, then make the bundle. description: of model.run_dir.description."""
    out = Path(options.out)
    if settings.precision != "float32" or loop.distribution_of(model):
        # Other processors serve it: copy the weights into a float32 network without a distribution.
        weights, settings = model.get_weights(), replace(settings, precision="float32")
        model = network.build(settings)
        model.set_weights(weights)
    onnx.save_keras(model, out / f".{BEST}")
    (out / f".{BEST}").replace(out / BEST)
    plots.history(progress.history, out / "history.png")
    export.build_bundle(
        model,
        settings,
        dataset,
        out / BUNDLE,
        description.get("name") or trained.default_name(settings, dataset),
        test=options.test,
        history=progress.history,
        origin=Origin(
            source=description.get("source") or attribution.of_data(Path(options.data)), ages=description.get("ages")
        ),
    )
