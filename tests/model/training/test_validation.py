"""The validation metrics do not reward a collapsed network; the offset of class weights is undone."""

import numpy as np
import pytest

from model.settings import TrainSettings
from model.training.validation import has_collapsed, prior_shift, validation_metrics

LABELS = np.array([0] * 20 + [1] * 60)


def test_a_network_that_calls_everything_positive_earns_no_recall() -> None:
    seen = validation_metrics(LABELS, np.full(80, 5.0), TrainSettings())
    assert seen["recall"] == 0
    assert seen["specificity"] == 0
    assert seen["positive_share"] == 1
    assert seen["auc"] == 0.5


def test_a_perfect_network_earns_all() -> None:
    seen = validation_metrics(LABELS, np.where(LABELS == 1, 9.0, -9.0), TrainSettings())
    assert (seen["recall"], seen["specificity"], seen["auc"]) == (1, 1, 1)
    assert seen["loss"] < 1e-3


def test_recall_is_taken_where_the_specificity_still_holds() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    # One negative lies above 8 of the positives, a second above all: at specificity .9 only one may be wrong.
    logits = np.array([-5.0] * 8 + [0.5, 9.0] + [0.1] * 8 + [1.0] * 2)
    assert validation_metrics(labels, logits, TrainSettings(fixed_specificity=0.9))["recall"] == pytest.approx(0.2)
    assert validation_metrics(labels, logits, TrainSettings(fixed_specificity=0.8))["recall"] == 1
    assert validation_metrics(labels, logits, TrainSettings(target_sensitivity=0.97))["specificity"] == pytest.approx(
        0.8
    )


def test_loss_is_the_cross_entropy() -> None:
    logits = np.linspace(-3, 3, 80)
    p = 1 / (1 + np.exp(-logits))
    wanted = -np.mean(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p))
    assert validation_metrics(LABELS, logits, TrainSettings())["loss"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("epoch", "share", "wanted"),
    [(0, 1.0, False), (2, 0.0, False), (3, 1.0, True), (3, 0.96, True), (9, 0.03, True), (9, 0.95, False)],
)
def test_a_collapse_counts_after_the_grace(epoch: int, share: float, wanted: bool) -> None:
    assert has_collapsed(epoch, share, LABELS, TrainSettings()) is wanted


def test_a_lopsided_validation_part_is_no_collapse() -> None:
    labels = np.array([0] + [1] * 99)
    assert not has_collapsed(9, 0.99, labels, TrainSettings())
    assert has_collapsed(9, 1.0, labels, TrainSettings())


def test_the_prior_shift_undoes_the_class_weights() -> None:
    # Three positives a negative: weighting made them equal, the true odds are 3.
    assert prior_shift(LABELS, TrainSettings()) == pytest.approx(np.log(3))
    assert prior_shift(LABELS, TrainSettings(class_weights=False)) == 0
    assert prior_shift(LABELS, TrainSettings(loss="focal")) == 0
