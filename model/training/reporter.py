"""Tell people and programs how far a training run is: a bar or plain lines, run.json, history.json."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.files import write_json

if TYPE_CHECKING:  # fit imports Keras
    from model.training.loop import Progress

log = logging.getLogger(__name__)
PAUSE = 30.0  # seconds between plain lines within an epoch
BAR = 24  # characters


class Reporter:
    """Hears of every step (see fit.Fit); writes run.json at every change of state, epoch and plain line.

    images: pictures of an epoch; epochs: how many are planned. Both are set once the data is loaded.
    """

    def __init__(self, run: Path, history: Path) -> None:
        self.run, self.history = run, history
        self.images = self.epochs = 0
        self.facts: dict[str, Any] = {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        self._spoke, self._bar = time.monotonic(), sys.stderr.isatty()

    def line(self, text: str) -> None:
        """One line for people, also in the log."""
        self._clear()
        log.info("%s", text)

    def state(self, state: str, message: str = "") -> None:
        """Set running, done, failed, collapsed or stopped, with the reason."""
        self.facts |= {"state": state, "message": message}
        write_json(self.run, self.facts)
        self.line(f"{state}: {message}" if message else state)

    def __call__(self, progress: Progress, steps: int) -> None:
        """After a step, or at the end of an epoch (then progress.batch is 0)."""
        if progress.batch == 0:
            self._note(progress, steps)
            write_json(self.history, progress.history)
            seen = progress.history[-1]
            figures = " ".join(f"{name} {value:.4f}" for name, value in seen.items())
            better = " *" if progress.waited == 0 else ""
            self.line(
                f"epoch {progress.epoch}/{self.epochs} {figures} {self.facts['images_per_second']:.0f} img/s{better}"
            )
            return
        loss = progress.loss / progress.seen
        if self._bar:
            filled = BAR * progress.batch // steps
            bar = "#" * filled + "-" * (BAR - filled)
            epoch = f"epoch {progress.epoch + 1}/{self.epochs}"
            print(f"\r{epoch} [{bar}] {progress.batch}/{steps} loss {loss:.4f} ", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._spoke > PAUSE:
            self._note(progress, steps)
            self.line(f"epoch {progress.epoch + 1}/{self.epochs} step {progress.batch}/{steps} loss {loss:.4f}")

    def _note(self, progress: Progress, steps: int) -> None:
        trained = progress.step / steps * self.images
        self.facts |= {
            "step": progress.step,
            "steps": steps * self.epochs,
            "epoch": progress.epoch,
            "epochs": self.epochs,
            "seconds": round(progress.seconds, 1),
            "images_per_second": round(trained / max(progress.seconds, 1e-9), 1),
            "best_epoch": progress.best_epoch + 1,
        }
        write_json(self.run, self.facts)

    def _clear(self) -> None:
        self._spoke = time.monotonic()
        if self._bar:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
