"""The training loop: steps, validation, early stopping, collapse detection, and a checkpoint at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import keras  # noqa: TID253 - only training imports this module
import numpy as np
import tensorflow as tf  # noqa: TID253

from model.settings import TrainSettings
from model.training import augment, network
from model.training.checkpoint import Checkpoints, arrays_to_variables, variables_to_arrays
from model.training.errors import Collapsed, Stopped, TrainingError
from model.training.features import SHIFTED, VALIDATION, Features
from model.training.progress import Progress
from model.training.validation import has_collapsed, prior_shift, validation_metrics

Labelled = tuple[np.ndarray, np.ndarray]  # pixels uint8 [n, height, width, 1], labels int [n]
VALIDATION_BATCH = 64
TENSORFLOW = keras.backend.backend() == "tensorflow"  # other backends take their batches as arrays


def make_deterministic(seed: int) -> None:
    """Make the training of this process repeatable bit for bit; call it before building a network.

    Deterministic operations are not enough on several cores: TensorFlow's meta optimizer adds up the gradients of
    parallel branches in the order in which they arrive. Turning it off made no step slower in our measurements.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def distribution_of(model: keras.Model) -> Any:
    """The distribution strategy of a network that was built for several GPUs, else None."""
    strategy = model.distribute_strategy if TENSORFLOW else None
    return strategy if strategy is not None and strategy.num_replicas_in_sync > 1 else None


class TrainingLoop:
    """The loop of one run.

    on_step(progress, steps per epoch) is called after every step and every epoch; should_stop() after every step.
    checkpoint_steps: steps between two checkpoints (the end of an epoch always writes one). features: of the frozen
    layers, if these are kept: then only the tail of the network is computed. shifted: copies of the validation films,
    which the metric "shifted_auc" needs.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: TrainSettings,
        train: Labelled,
        validation: Labelled,
        checkpoints: Checkpoints,
        checkpoint_steps: int,
        on_step: Callable[[Progress, int], None],
        should_stop: Callable[[], bool],
        features: Features | None = None,
        shifted: Labelled | None = None,
    ) -> None:
        self.model, self.settings, self.train, self.validation = model, settings, train, validation
        self.shifted = shifted
        self.checkpoints, self.checkpoint_steps = checkpoints, checkpoint_steps
        self.on_step, self.should_stop = on_step, should_stop
        self.features = features
        self.trained = features.tail if features else model
        self.distribution = distribution_of(model)
        count = len(train[1]) / settings.batch
        self.steps = math.floor(count) if self.distribution else math.ceil(count)  # per epoch
        self.trainable_state = network.trainable_state(model, settings)
        self.prior = prior_shift(train[1], settings)
        self.progress = Progress()
        self.best: list[np.ndarray] = []
        self.average: list[np.ndarray] = []

    def run(self) -> Progress:
        """Train from the newest checkpoint, or from the start; afterwards the model holds the best weights."""
        self._restore()
        while not self.progress.finished:
            self._epoch()
        self._set_weights(self.best)
        return self.progress

    def _phase(self) -> int:
        return 1 if self.progress.epoch < self.settings.head_epochs else 2

    def _compile(self) -> None:
        head = self.settings.head_epochs
        epochs = head if self._phase() == 1 else self.settings.epochs - head
        with self.distribution.scope() if self.distribution else nullcontext():
            tail = self.features.tail if self.features else None
            network.compile_for(self.model, self.settings, self._phase(), epochs * self.steps, tail)
            self.trained.optimizer.build(self.trained.trainable_variables)
            if self.distribution:  # Keras builds its metrics from the shape of a batch; a distributed one has none
                picture, label = self.train[0][:1].astype(np.float32), self.train[1][:1, np.newaxis].astype(np.float32)
                self.model.test_on_batch(picture, label, sample_weight=np.ones(1, np.float32))

    def _variables(self) -> list[Any]:
        # model.variables holds the weights and the seeds of dropout, and may hold metrics too: keep each variable once.
        metrics = [variable for metric in self.trained.metrics for variable in metric.variables]
        variables = [*self.model.variables, *self.trained.optimizer.variables, *metrics]
        return list({id(variable): variable for variable in variables}.values())

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
            loss = float(self.trained.train_on_batch(pixels, labels, sample_weight=weights))
            if not math.isfinite(loss):
                raise TrainingError("the loss is not finite; train again with a lower --learning-rate")
            progress.batch, progress.step = progress.batch + 1, progress.step + 1
            self._update_average()
            count = self.settings.batch if self.distribution else len(labels)
            progress.loss, progress.seen = progress.loss + loss * count, progress.seen + count
            now = time.monotonic()
            progress.seconds, clock = progress.seconds + now - clock, now
            self.on_step(progress, self.steps)
            self._checkpoint_or_stop()
        self._end_epoch()
        progress.seconds += time.monotonic() - clock
        self._save()
        self.on_step(progress, self.steps)

    def _batches(self) -> Iterable[Any]:
        progress, distribution = self.progress, self.distribution
        if self.features:
            return self.features.batches(progress.epoch, progress.batch)
        # A GPU that gets no picture of a smaller last batch would make the loss NaN.
        batches = augment.epoch_batches(
            *self.train, self.settings, progress.epoch, skip=progress.batch, drop_remainder=distribution is not None
        )
        if distribution:
            return distribution.experimental_distribute_dataset(batches)
        return batches if TENSORFLOW else batches.as_numpy_iterator()

    def _weights(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.trainable_state]

    def _set_weights(self, weights: list[np.ndarray]) -> None:
        for variable, value in zip(self.trainable_state, weights, strict=True):
            variable.assign(value)

    def _update_average(self) -> None:
        """Move the average towards the weights, faster in the first steps, because the early weights are poor."""
        weights, step = self._weights(), self.progress.step
        share = 1 - min(self.settings.average, step / (step + 9))
        # old + share * (new - old), computed in the copy of the new weights; there is no old average at the first step
        for old, new in zip(self.average, weights, strict=bool(self.average)):
            new -= old
            new *= np.float32(share)
            new += old
        self.average = weights

    def _validate(self) -> dict[str, float]:
        """The validation metrics of the averaged weights; the model keeps its own weights."""
        weights = self._weights()
        self._set_weights(self.average)
        metrics = self._metrics(VALIDATION, self.validation)
        if self.shifted:
            metrics["shifted_auc"] = self._metrics(SHIFTED, self.shifted)["auc"]
        self._set_weights(weights)
        return metrics

    def _metrics(self, view: str, measured: Labelled) -> dict[str, float]:
        pixels, labels = measured
        if self.features:
            logits = self.features.logits(view, pixels, VALIDATION_BATCH)
        else:
            logits = np.asarray(self.model.predict(pixels, batch_size=VALIDATION_BATCH, verbose=0)[:, 0])
        return validation_metrics(labels, logits.astype(np.float64) + self.prior, self.settings)

    def _checkpoint_or_stop(self) -> None:
        stop = self.should_stop()
        if stop or (self.progress.step % self.checkpoint_steps == 0 and self.progress.batch < self.steps):
            self._save()
        if stop:
            raise Stopped

    def _end_epoch(self) -> None:
        progress, labels = self.progress, self.validation[1]
        metrics = self._validate()
        progress.history.append(
            {"loss": progress.loss / progress.seen, **{f"val_{name}": value for name, value in metrics.items()}}
        )
        if has_collapsed(progress.epoch, metrics["positive_share"], labels, self.settings):
            raise Collapsed(
                f"after epoch {progress.epoch + 1} the network classifies {metrics['positive_share']:.1%} of the "
                "validation pictures as pneumonia; try a lower --learning-rate, another --optimizer or more data"
            )
        score = [
            -metrics["loss"] if self.settings.metric == "loss" else metrics[self.settings.metric],
            -metrics["loss"],
        ]
        if progress.best is None or score > progress.best:
            progress.best, progress.best_epoch, progress.waited = score, progress.epoch, 0
            self.best = self.average  # each step makes a new list, so this one does not change
        else:
            progress.waited += 1
        progress.epoch, progress.batch, progress.loss, progress.seen = progress.epoch + 1, 0, 0.0, 0
        progress.finished = self._is_finished()
        if progress.epoch == self.settings.head_epochs and not progress.finished:
            self._compile()  # the second phase has its own optimizer and schedule

    def _is_finished(self) -> bool:
        """Whether the last epoch is done or early stopping applies. It never applies in the first phase (head only)."""
        progress = self.progress
        stop_early = progress.waited >= self.settings.patience and progress.epoch > self.settings.head_epochs
        return progress.epoch >= self.settings.epochs or stop_early
