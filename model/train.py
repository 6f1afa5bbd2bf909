"""Train a classifier: `python -m model.train DATA --out RUN_DIR`; a killed run resumes to the same bits."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from model import run_dir
from model.data.sources import DataError
from model.run_dir import BUNDLE, HISTORY, LOG, RUN, CheckpointError, UsageError
from model.settings import SettingsError, TrainSettings
from model.training.arguments import choose_settings, chosen, parser
from model.training.errors import Collapsed, Stopped, TrainingError
from model.training.observer import Observer
from model.training.reporter import Reporter

log = logging.getLogger(__name__)
DONE, FAILED, USAGE, COLLAPSED, NOT_RESUMABLE = 0, 1, 2, 3, 4
_EXPLAINED = (DataError, SettingsError, TrainingError)  # their messages need no traceback


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit 0 done, 1 failed, 2 usage, 3 collapsed, 4 not resumable, 128 + signal when stopped."""
    try:
        return train(arguments, Observer())
    except (SettingsError, UsageError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE


def train(arguments: Sequence[str] | None, observer: Observer) -> int:
    """Train and return the exit code. Raises SettingsError or UsageError for invalid arguments."""
    options = parser().parse_args(arguments)
    out = Path(options.out)
    settings = settings_of_run(options, out)
    run_dir.prepare(out, options.resume)
    with run_dir.locked(out), run_dir.logging_to(out / LOG):
        return _start(options, settings, out, observer)


def settings_of_run(options: argparse.Namespace, out: Path) -> TrainSettings:
    """The settings of the arguments or, to resume, those of the run; an argument that differs from them is refused."""
    saved = run_dir.saved_settings(out) if options.resume else None
    if saved is None:
        return choose_settings(options)
    given = chosen(options).items()
    differing = [name for name, value in given if value != "auto" and getattr(saved, name) != value]
    if differing:
        raise UsageError(
            f"the run in {out} was started with another {', '.join(differing)}; omit that argument to resume it"
        )
    return saved


def _start(options: argparse.Namespace, settings: TrainSettings, out: Path, observer: Observer) -> int:
    if (out / BUNDLE).is_dir():
        log.info("this run is already done; the bundle is in %s", out / BUNDLE)
        return DONE
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: signals.append(received))
    return _run(options, settings, out, signals, observer)


def _run(
    options: argparse.Namespace, settings: TrainSettings, out: Path, signals: list[int], observer: Observer
) -> int:
    """Run and record the outcome in run.json; the exit code is 0 only if the bundle is complete."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    reporter = Reporter(out / RUN, out / HISTORY)
    reporter.state("running")
    try:
        with run_dir.stderr_to(out / LOG):
            # Imported here because it loads TensorFlow: that takes seconds, and --help and argument errors need none.
            from model.training import run

            run.initialize_devices()
    except ImportError as error:
        reporter.state("failed", f"{error}; install the extra [train]")
        return FAILED
    try:
        run.train_and_bundle(options, settings, out, lambda: bool(signals), reporter, observer)
    except Stopped:
        reporter.state("stopped", f"stopped by signal {signals[0]}; run the same command with --resume to continue")
        return 128 + signals[0]
    except Collapsed as error:
        reporter.state("collapsed", str(error))
        return COLLAPSED
    except CheckpointError as error:
        reporter.state("failed", str(error))
        return NOT_RESUMABLE
    except _EXPLAINED as error:
        reporter.state("failed", str(error))
        return FAILED
    except Exception as error:
        log.exception("the run failed")
        reporter.state("failed", f"unexpected error, see its log ({type(error).__name__}: {error})")
        return FAILED
    reporter.state("done")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
