"""Where a training run's things lie on its host, and what is told of it while it goes on."""

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
    from model.training.loop import Progress

log = logging.getLogger(__name__)
NEWS_S = 1.0  # between two words on progress
END, PROGRESS = "end.json", "progress.jsonl"


class Places:
    """Where things lie on the host; systemd says it, as pneumoctl's unit has it."""

    def __init__(self, order: dict[str, Any]) -> None:
        state = os.environ.get("STATE_DIRECTORY", "/var/lib/pneumoctl/runs:/var/lib/pneumoctl/data").split(":")
        self.runs, self.data = (next(Path(one) for one in state if one.endswith(kind)) for kind in ("runs", "data"))
        self.run = self.runs / order["run"]
        self.out = self.run / "out"  # model.train's, and nobody else's
        self.news = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/pneumoctl-train")) / "progress.json"


class News:
    """What is told of the run while it goes on: the newest word by rename, all of them behind one another."""

    def __init__(self, places: Places, run: str) -> None:
        self._places = places
        self._facts: dict[str, Any] = {"run": run, "phase": "data", "counter": 0}
        self._said = 0.0
        self._lock = threading.Lock()

    def tell(self, at_once: bool = False, work: int = 1, **facts: Any) -> None:
        """Something moved on."""
        with self._lock:
            self._facts |= {**facts, "counter": self._facts["counter"] + work, "at": time.time()}
            now = time.monotonic()
            if not at_once and now - self._said < NEWS_S:
                return
            self._said = now
            try:
                line = json.dumps(self._facts) + "\n"  # one line: that is how it is listened to
                write_text(self._places.news, line)
                self._places.news.chmod(0o644)
                with (self._places.run / PROGRESS).open("a") as file:
                    file.write(line)
            except OSError as error:  # a full disk ends no run by this
                log.warning("no word of progress: %s", error)

    def step(self, progress: Progress, steps: int, settings: dict[str, Any], trouble: str = "") -> None:
        """A step of training, or the end of an epoch; `trouble`: with bringing checkpoints to the bucket."""
        last = progress.history[-1] if progress.history else {}
        total = steps * settings.get("epochs", 1)
        rate = progress.step / max(progress.seconds, 1e-9)
        self.tell(
            at_once=progress.batch == 0,
            phase="train",
            step=progress.step,
            steps=total,
            epoch=progress.epoch,
            epochs=settings.get("epochs"),
            loss=progress.loss / progress.seen if progress.seen else last.get("loss"),
            sensitivity=last.get("val_recall"),
            images_per_second=rate * settings.get("batch", 0),
            trouble=trouble,
            eta_s=max(0, total - progress.step) / max(rate, 1e-9),
        )
