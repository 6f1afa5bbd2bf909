"""Train a classifier: `python -m model.train DATA --out RUN_DIR`; a run killed at any step resumes bit for bit."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import settings as choices
from model.settings import SettingsError, TrainSettings
from model.training import run_dir
from model.training.checkpoint import CheckpointError, Checkpoints
from model.training.reporter import Reporter
from model.training.run_dir import BEST, BUNDLE, CHECKPOINTS, HISTORY, LOG, RUN, UsageError

if TYPE_CHECKING:
    from model.data.dataset import DataSet
    from model.training.loop import Progress

log = logging.getLogger(__name__)
DONE, FAILED, USAGE, COLLAPSED = 0, 1, 2, 3
FOLLOWS = (
    "Defaults shown are those of --arch dag --optimizer adam. resnet50 takes 224 x 224 pixels, one dense layer of 256 "
    "and a third of the epochs for the head alone; sgd learns at 0.01, adadelta at 1.0 unless --learning-rate is given."
)


@dataclass(frozen=True)
class Onlooker:
    """Who is told of a run while it goes on: each checkpoint that was saved; each step, and how many an epoch has;
    each new phase of it."""

    saved: Callable[[Path], None] = lambda _: None
    told: Callable[[Progress, int], None] = lambda *_: None
    phase: Callable[[str], None] = lambda _: None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit 0 done, 1 failed, 2 usage, 3 collapsed, 128 + signal when stopped."""
    try:
        return train(arguments, Onlooker())
    except (SettingsError, UsageError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE


def train(arguments: Sequence[str] | None, onlooker: Onlooker) -> int:
    """As main; raises SettingsError or UsageError for arguments that cannot be followed."""
    given = parser().parse_args(arguments)
    out = Path(given.out)
    chosen = _settings(given, out)
    run_dir.prepare(out, given.resume)
    with run_dir.locked(out):
        return _begin(given, chosen, out, onlooker)


def _begin(given: argparse.Namespace, chosen: TrainSettings, out: Path, onlooker: Onlooker) -> int:
    run_dir.log_to(out / LOG)
    if (out / BUNDLE).is_dir():
        log.info("done already; the bundle is in %s", out / BUNDLE)
        return DONE
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    return _guarded(given, chosen, out, stopped, onlooker)


def parser() -> argparse.ArgumentParser:
    """The arguments; those of TrainSettings default to None, which means: not chosen."""
    made = argparse.ArgumentParser(prog="python -m model.train", description=__doc__, epilog=FOLLOWS)
    made.add_argument("data", help="folder with train/test x NORMAL/PNEUMONIA, a manifest .csv, or PneumoniaMNIST .npz")
    made.add_argument("--out", required=True, help="run directory: settings, log, checkpoints, history, bundle")
    made.add_argument("--resume", action="store_true", help="go on with the run in --out, with its own settings")
    made.add_argument("--name", help="name of the bundle (default: ARCH-DATA)")
    made.add_argument(
        "--source", default="", help="whom to name for the data in the card (kermany, pneumoniamnist, ..)"
    )
    made.add_argument("--test", action="store_true", help="read the test split once, for the model card")
    made.add_argument("--checkpoint-steps", type=int, default=50, help="steps between checkpoints (default 50)")
    for name, allowed in (
        ("arch", choices.ARCHITECTURES),
        ("loss", choices.LOSSES),
        ("optimizer", choices.OPTIMIZERS),
        ("metric", choices.METRICS),
        ("precision", choices.PRECISIONS),
    ):
        made.add_argument(f"--{name}", choices=allowed, help=f"default {getattr(TrainSettings, name)}")
    made.add_argument("--weights", help="imagenet (resnet50), none, or a file to start from (default none)")
    made.add_argument("--dense", type=int, nargs="*", help="units of the layers before the logit")
    for name in ("epochs", "batch", "seed", "height", "width", "patience", "grace", "head-epochs", "unfrozen"):
        made.add_argument(f"--{name}", type=int, help=_default(name))
    for name in ("learning-rate", "warmup", "dropout", "l2", "average", "augment", "validation-share"):
        made.add_argument(f"--{name}", type=float, help=_default(name))
    for name in ("target-sensitivity", "fixed-specificity", "collapse-share"):
        made.add_argument(f"--{name}", type=float, help=_default(name))
    for name in ("mirror", "class-weights"):
        made.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=_default(name))
    return made


def run(
    given: argparse.Namespace,
    chosen: TrainSettings,
    out: Path,
    stopped: list[int],
    reporter: Reporter,
    onlooker: Onlooker,
) -> None:
    """Load, train and build the bundle; every error leaves no bundle behind."""
    from model.data import dataset as data
    from model.training import devices, network
    from model.training import loop as fit

    chosen = replace(chosen, precision=devices.precision(chosen.precision))
    fit.settle(chosen.seed)
    dataset = data.split(data.load(given.data), chosen.validation_share, chosen.seed)
    reporter.line(f"{dataset.name}: " + ", ".join(f"{count} {name}" for name, count in dataset.counts().items()))
    fingerprint = run_dir.record(out, chosen, dataset)
    parts = [data.arrays(dataset.part(name), chosen.height, chosen.width) for name in ("train", "validation")]
    reporter.images, reporter.epochs = len(parts[0][1]), chosen.epochs
    together = devices.together(chosen.batch)
    with together.scope() if together else nullcontext():
        model = network.build(chosen)
    loop = fit.Fit(
        model,
        chosen,
        *parts,
        checkpoints=Checkpoints(out / CHECKPOINTS, fingerprint, saved=onlooker.saved),
        every=given.checkpoint_steps,
        tell=lambda progress, steps: (reporter(progress, steps), onlooker.told(progress, steps))[0],
        stop=lambda: bool(stopped),
    )
    onlooker.phase("train")
    progress = loop.run()
    onlooker.phase("evaluate")
    _bundle(model, chosen, dataset, progress, given)
    reporter.line(f"epoch {progress.best_epoch + 1} was the best; bundle in {out / BUNDLE}")


def _bundle(model: Any, chosen: TrainSettings, dataset: DataSet, progress: Progress, given: argparse.Namespace) -> None:
    """Keep the best weights, then make the bundle; build_bundle leaves a whole one or none."""
    from model import export
    from model.bundling import onnx
    from model.bundling.provenance import Origin
    from model.evaluation import plots
    from model.training import loop as fit
    from model.training import network

    out = Path(given.out)
    if chosen.precision != "float32" or fit.several(
        model
    ):  # it is served by other processors: the same weights in a network of their own
        weights, chosen = model.get_weights(), replace(chosen, precision="float32")
        model = network.build(chosen)
        model.set_weights(weights)
    onnx.save_keras(model, out / f".{BEST}")
    (out / f".{BEST}").replace(out / BEST)
    plots.history(progress.history, out / "history.png")
    export.build_bundle(
        model,
        chosen,
        dataset,
        out / BUNDLE,
        given.name or f"{chosen.arch}-{dataset.name}".lower().replace("_", "-"),
        test=given.test,
        history=progress.history,
        origin=Origin(source=given.source),
    )


def _guarded(
    given: argparse.Namespace, chosen: TrainSettings, out: Path, stopped: list[int], onlooker: Onlooker
) -> int:
    """Run; whatever happens, run.json tells the state and the exit code is not 0 unless the bundle is whole."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    reporter = Reporter(out / RUN, out / HISTORY)
    reporter.state("running")
    try:
        with run_dir.noise_to(out / LOG):
            import tensorflow as tf

            from model.training.loop import Collapsed, Stopped

            tf.config.list_logical_devices()
    except ImportError as error:
        reporter.state("failed", f"{error}; install the extra [train]")
        return FAILED
    try:
        run(given, chosen, out, stopped, reporter, onlooker)
    except Stopped:
        reporter.state("stopped", f"stopped by signal {stopped[0]}; --resume goes on")
        return 128 + stopped[0]
    except Collapsed as error:
        reporter.state("collapsed", str(error))
        return COLLAPSED
    except Exception as error:
        told = isinstance(error, _expected())  # says itself what to do; anything else needs its traceback
        if not told:
            log.exception("the run failed")
        reporter.state("failed", str(error) if told else f"{type(error).__name__}: {error}")
        return FAILED
    reporter.state("done")
    return DONE


def _expected() -> tuple[type[Exception], ...]:
    from model.data.sources import DataError
    from model.training.loop import TrainingError

    return (DataError, SettingsError, CheckpointError, TrainingError)


def _settings(given: argparse.Namespace, out: Path) -> TrainSettings:
    """The settings chosen now or, to resume, the run's own; a choice that differs from them is refused."""
    chosen = {name: getattr(given, name, None) for name in TrainSettings.__dataclass_fields__}
    chosen = {name: tuple(value) if name == "dense" else value for name, value in chosen.items() if value is not None}
    if given.checkpoint_steps < 1:
        raise UsageError(f"--checkpoint-steps is {given.checkpoint_steps}: it must be at least 1")
    saved = run_dir.saved_settings(out) if given.resume else None
    if saved is None:
        return choices.choose(**chosen)
    differ = [name for name, value in chosen.items() if value != "auto" and getattr(saved, name) != value]
    if differ:
        raise UsageError(f"the run in {out} has another {', '.join(differ)}; leave that out to resume it")
    return saved


def _default(name: str) -> str:
    return f"default {getattr(TrainSettings, name.replace('-', '_'))}"


if __name__ == "__main__":
    sys.exit(main())
