"""The training loop: steps, validation, early stopping, the collapse guard, and a checkpoint at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import keras  # noqa: TID253 - only training imports this module
import numpy as np
import tensorflow as tf  # noqa: TID253

from model.settings import TrainSettings
from model.training import augment, network
from model.training.checkpoint import Checkpoints, arrays_to_variables, variables_to_arrays
from model.training.validation import has_collapsed, prior_shift, watched

Labelled = tuple[np.ndarray, np.ndarray]  # pixels uint8 [n, height, width, 1], labels int [n]


TENSORFLOW = keras.backend.backend() == "tensorflow"  # another backend takes its batches as arrays


class TrainingError(Exception):
    """A run that must not end in a model; the message says why."""


class Collapsed(TrainingError):
    """The network calls nearly every validation picture the same."""


class Stopped(Exception):
    """Someone asked the run to stop; a checkpoint lies on the disk."""


def settle(seed: int) -> None:
    """Make every step of this process the same, bit for bit, each time it is done: call before building a network.

    Deterministic operations are not enough on many cores: TensorFlow's graph optimizer turns the sum of the gradients
    that meet where branches part into additions in whatever order they arrive. Without it a step is no slower here.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def several(model: keras.Model) -> Any:
    """The distribution of a network that was built for several GPUs, else None."""
    found = model.distribute_strategy if TENSORFLOW else None
    return found if found is not None and found.num_replicas_in_sync > 1 else None


@dataclass
class Progress:
    """Where a run is. epoch and batch: the next ones to do; waited: epochs without a better one.

    loss: sum of the training loss over this epoch's pictures so far, seen: how many these are.
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


class Fit:
    """One run of the loop.

    tell(progress, steps of an epoch) hears of every step and epoch; stop() is asked after each step;
    every: steps between two checkpoints (the end of an epoch always writes one).
    """

    def __init__(
        self,
        model: keras.Model,
        settings: TrainSettings,
        train: Labelled,
        validation: Labelled,
        checkpoints: Checkpoints,
        every: int,
        tell: Callable[[Progress, int], None],
        stop: Callable[[], bool],
    ) -> None:
        self.model, self.settings, self.train, self.validation = model, settings, train, validation
        self.checkpoints, self.every, self.tell, self.stop = checkpoints, every, tell, stop
        self.together = several(model)
        count = len(train[1]) / settings.batch
        self.steps = math.floor(count) if self.together else math.ceil(count)  # of an epoch
        self.learned = network.learned(model, settings)
        self.prior = prior_shift(train[1], settings)
        self.progress = Progress()
        self.best: list[np.ndarray] = []
        self.average: list[np.ndarray] = []

    def run(self) -> Progress:
        """Go on from the newest checkpoint or from the start, to the end; the model then holds the best weights."""
        self._restore()
        while not self.progress.finished:
            self._epoch()
        self._put(self.best)
        return self.progress

    def _phase(self) -> int:
        return 1 if self.progress.epoch < self.settings.head_epochs else 2

    def _compile(self) -> None:
        head = self.settings.head_epochs
        epochs = head if self._phase() == 1 else self.settings.epochs - head
        with self.together.scope() if self.together else nullcontext():
            network.compile_for(self.model, self.settings, self._phase(), epochs * self.steps)
            self.model.optimizer.build(self.model.trainable_variables)
            if self.together:  # Keras builds its metrics by a batch's shape, and a distributed one has none
                one, label = self.train[0][:1].astype(np.float32), self.train[1][:1, np.newaxis].astype(np.float32)
                self.model.test_on_batch(one, label, sample_weight=np.ones(1, np.float32))

    def _variables(self) -> list[Any]:
        # model.variables holds weights and the seeds of dropout, perhaps metrics too: each once.
        metrics = [variable for metric in self.model.metrics for variable in metric.variables]
        found = [*self.model.variables, *self.model.optimizer.variables, *metrics]
        return list({id(variable): variable for variable in found}.values())

    def _restore(self) -> None:
        saved = self.checkpoints.restore()
        if saved is None:
            self._compile()
            return
        arrays, state = saved
        self.progress = Progress(**state["progress"])
        self._compile()
        arrays_to_variables(arrays, self._variables(), "run")
        self.best, self.average = (
            [value for name, value in sorted(arrays.items()) if name.startswith(kind)] for kind in ("best/", "average/")
        )

    def _save(self) -> None:
        arrays = variables_to_arrays(self._variables(), "run")
        arrays |= {f"best/{number:04d}": value for number, value in enumerate(self.best)}
        arrays |= {f"average/{number:04d}": value for number, value in enumerate(self.average)}
        self.checkpoints.save(self.progress.step, arrays, {"progress": asdict(self.progress)})

    def _epoch(self) -> None:
        progress = self.progress
        clock = time.monotonic()
        for pixels, labels, weights in self._batches():
            loss = float(self.model.train_on_batch(pixels, labels, sample_weight=weights))
            if not math.isfinite(loss):
                raise TrainingError("the loss is no number any more; train again with a lower --learning-rate")
            progress.batch, progress.step = progress.batch + 1, progress.step + 1
            self._average()
            count = self.settings.batch if self.together else len(labels)
            progress.loss, progress.seen = progress.loss + loss * count, progress.seen + count
            now = time.monotonic()
            progress.seconds, clock = progress.seconds + now - clock, now
            self.tell(progress, self.steps)
            self._keep_up()
        self._end_epoch()
        progress.seconds += time.monotonic() - clock
        self._save()
        self.tell(progress, self.steps)

    def _batches(self) -> Iterable[Any]:
        progress, together = self.progress, self.together
        # A GPU that gets nothing of a last, smaller batch would make the loss no number.
        batches = augment.epoch_batches(
            *self.train, self.settings, progress.epoch, skip=progress.batch, whole=together is not None
        )
        if together:
            return together.experimental_distribute_dataset(batches)
        return batches if TENSORFLOW else batches.as_numpy_iterator()

    def _taken(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.learned]

    def _put(self, weights: list[np.ndarray]) -> None:
        for variable, value in zip(self.learned, weights, strict=True):
            variable.assign(value)

    def _average(self) -> None:
        """Move the average towards the weights, faster in the first steps, where old weights are worth little."""
        weights, step = self._taken(), self.progress.step
        share = 1 - min(self.settings.average, step / (step + 9))
        if not self.average:
            self.average = weights
        self.average = [old + np.float32(share) * (new - old) for old, new in zip(self.average, weights, strict=True)]

    def _judge(self) -> dict[str, float]:
        """What validation says of the averaged weights; the model keeps its own."""
        weights = self._taken()
        self._put(self.average)
        logits = self.model.predict(self.validation[0], batch_size=64, verbose=0)[:, 0].astype(np.float64)
        self._put(weights)
        return watched(self.validation[1], logits + self.prior, self.settings)

    def _keep_up(self) -> None:
        stop = self.stop()
        if stop or (self.progress.step % self.every == 0 and self.progress.batch < self.steps):
            self._save()
        if stop:
            raise Stopped

    def _end_epoch(self) -> None:
        progress, labels = self.progress, self.validation[1]
        seen = self._judge()
        progress.history.append(
            {"loss": progress.loss / progress.seen, **{f"val_{name}": value for name, value in seen.items()}}
        )
        if has_collapsed(progress.epoch, seen["positive_share"], labels, self.settings):
            raise Collapsed(
                f"after epoch {progress.epoch + 1} the network calls {seen['positive_share']:.1%} of the validation "
                "pictures pneumonia; try a lower --learning-rate, another --optimizer or more data"
            )
        score = [-seen["loss"] if self.settings.metric == "loss" else seen[self.settings.metric], -seen["loss"]]
        if progress.best is None or score > progress.best:
            progress.best, progress.best_epoch, progress.waited = score, progress.epoch, 0
            self.best = self.average  # a new list each step, never written into
        else:
            progress.waited += 1
        progress.epoch, progress.batch, progress.loss, progress.seen = progress.epoch + 1, 0, 0.0, 0
        progress.finished = self._over()
        if progress.epoch == self.settings.head_epochs and not progress.finished:
            self._compile()  # the second phase has its own optimizer and schedule

    def _over(self) -> bool:
        """Whether the last epoch is done or patience is out; the head's epochs alone never end a run."""
        progress = self.progress
        impatient = progress.waited >= self.settings.patience and progress.epoch > self.settings.head_epochs
        return progress.epoch >= self.settings.epochs or impatient
