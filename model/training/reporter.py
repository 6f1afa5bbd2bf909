"""Report the progress of a training run: a bar or plain lines for people, run.json and history.json for programs."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.files import write_json

if TYPE_CHECKING:  # model.training.loop imports Keras
    from model.training.progress import Progress

log = logging.getLogger(__name__)
LINE_INTERVAL_S = 30.0  # between plain lines within an epoch
BAR_WIDTH = 24  # characters


class Reporter:
    """The on_step callback of the loop; writes run.json with every state, epoch and plain line.

    images: pictures per epoch; epochs: the planned number. Both are set once the data is loaded.
    """

    def __init__(self, run: Path, history: Path) -> None:
        self.run, self.history = run, history
        self.images = self.epochs = 0
        self.facts: dict[str, Any] = {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        self._last_line, self._bar = time.monotonic(), sys.stderr.isatty()

    def line(self, text: str) -> None:
        """Print one line and log it."""
        self._clear_bar()
        log.info("%s", text)

    def state(self, state: str, message: str = "") -> None:
        """Set the state (running, done, failed, collapsed or stopped) and its reason."""
        self.facts |= {"state": state, "message": message}
        write_json(self.run, self.facts)
        self.line(f"{state}: {message}" if message else state)

    def __call__(self, progress: Progress, steps: int) -> None:
        """Report a step, or the end of an epoch (then progress.batch is 0)."""
        if progress.batch == 0:
            self._update_facts(progress, steps)
            write_json(self.history, progress.history)
            metrics = progress.history[-1]
            figures = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            better = " *" if progress.waited == 0 else ""
            self.line(
                f"epoch {progress.epoch}/{self.epochs} {figures} {self.facts['images_per_second']:.0f} img/s{better}"
            )
            return
        loss = progress.loss / progress.seen
        if self._bar:
            filled = BAR_WIDTH * progress.batch // steps
            bar = "#" * filled + "-" * (BAR_WIDTH - filled)
            epoch = f"epoch {progress.epoch + 1}/{self.epochs}"
            print(f"\r{epoch} [{bar}] {progress.batch}/{steps} loss {loss:.4f} ", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._last_line > LINE_INTERVAL_S:
            self._update_facts(progress, steps)
            self.line(f"epoch {progress.epoch + 1}/{self.epochs} step {progress.batch}/{steps} loss {loss:.4f}")

    def _update_facts(self, progress: Progress, steps: int) -> None:
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

    def _clear_bar(self) -> None:
        self._last_line = time.monotonic()
        if self._bar:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
