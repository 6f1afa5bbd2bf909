"""The paths of a training run on its host, and the progress that it reports."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.files import write_text

if TYPE_CHECKING:
    from model.training.progress import Progress

log = logging.getLogger(__name__)
INTERVAL_S = 1.0  # between two reports
END, PROGRESS = "end.json", "progress.jsonl"


class RunPaths:
    """The paths of a run on the host, below the directories that systemd sets for the unit of pneumoctl."""

    def __init__(self, order: dict[str, Any]) -> None:
        state = os.environ.get("STATE_DIRECTORY", "/var/lib/pneumoctl/runs:/var/lib/pneumoctl/data").split(":")
        self.runs, self.data = (next(Path(path) for path in state if path.endswith(kind)) for kind in ("runs", "data"))
        self.run = self.runs / order["run"]
        self.out = self.run / "out"  # written by model.train alone
        self.progress = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/pneumoctl-train")) / "progress.json"


class Heartbeat:
    """Reports the progress of a run: the newest report replaces a file, and all are appended to another."""

    def __init__(self, paths: RunPaths, run: str) -> None:
        self._paths = paths
        self._facts: dict[str, Any] = {"run": run, "phase": "data", "counter": 0}
        self._last_report = 0.0
        self._lock = threading.Lock()

    def report(self, at_once: bool = False, work: int = 1, **facts: Any) -> None:
        """Update the facts and count progress; write a report if `at_once` or if the last one is old enough."""
        with self._lock:
            self._facts |= {**facts, "counter": self._facts["counter"] + work, "at": time.time()}
            now = time.monotonic()
            if not at_once and now - self._last_report < INTERVAL_S:
                return
            self._last_report = now
            try:
                line = json.dumps(self._facts) + "\n"  # one line, because the client reads line by line
                write_text(self._paths.progress, line)
                self._paths.progress.chmod(0o644)
                with (self._paths.run / PROGRESS).open("a") as file:
                    file.write(line)
            except OSError as error:  # a full disk must not end the run here
                log.warning("progress cannot be reported: %s", error)

    def step(self, progress: Progress, steps: int, settings: dict[str, Any], upload_error: str = "") -> None:
        """Report a step or the end of an epoch; `upload_error`: why the last upload of a checkpoint failed."""
        last = progress.history[-1] if progress.history else {}
        total = steps * settings.get("epochs", 1)
        rate = progress.step / max(progress.seconds, 1e-9)
        self.report(
            at_once=progress.batch == 0,
            phase="train",
            step=progress.step,
            steps=total,
            epoch=progress.epoch,
            epochs=settings.get("epochs"),
            loss=progress.loss / progress.seen if progress.seen else last.get("loss"),
            sensitivity=last.get("val_recall"),
            images_per_second=rate * settings.get("batch", 0),
            upload_error=upload_error,
            eta_s=max(0, total - progress.step) / max(rate, 1e-9),
        )
