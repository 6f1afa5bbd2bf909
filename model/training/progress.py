"""The position and the history of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Progress:
    """The position and the history of a run. Checkpoints store these fields by name.

    epoch and batch: the next ones to train. waited: epochs since the best one.
    loss: sum of the training loss over the pictures of this epoch so far; seen: the number of these pictures.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: list[float] | None = None
    best_epoch: int = -1
    waited: int = 0
    finished: bool = False
    loss: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
