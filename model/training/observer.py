"""The callbacks through which a caller follows a training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.training.progress import Progress


@dataclass(frozen=True)
class Observer:
    """Callbacks of a run; each does nothing by default.

    on_checkpoint(directory): a checkpoint was saved. on_step(progress, steps per epoch): a step or an epoch ended.
    on_phase(name): a phase started, "train" or "evaluate".
    """

    on_checkpoint: Callable[[Path], None] = lambda _: None
    on_step: Callable[[Progress, int], None] = lambda *_: None
    on_phase: Callable[[str], None] = lambda _: None
