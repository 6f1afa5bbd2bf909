"""Evaluate the logits of the validation part: metrics for choosing weights, collapse detection, prior shift."""

from __future__ import annotations

import numpy as np

from model.settings import TrainSettings
from model.training.augment import class_weights


def validation_metrics(labels: np.ndarray, logits: np.ndarray, settings: TrainSettings) -> dict[str, float]:
    """The metrics of an epoch by which weights are chosen (model.evaluation computes the reported figures).

    loss: mean binary cross-entropy of the logits [n], unweighted. auc: area under the ROC curve.
    recall: the highest sensitivity with a specificity >= fixed_specificity; 0 for a network that predicts pneumonia
    for every picture, for which plain recall is 1.
    specificity: the highest specificity with a sensitivity >= target_sensitivity.
    positive_share: the share of pictures with a logit above 0, for collapse detection.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    false_rate, true_rate, _ = roc_curve(labels, logits, drop_intermediate=False)
    return {
        "loss": float(np.mean(np.logaddexp(0.0, logits) - labels * logits)),
        "auc": float(roc_auc_score(labels, logits)),
        "recall": float(true_rate[false_rate <= 1 - settings.fixed_specificity + 1e-9].max()),
        "specificity": float(1 - false_rate[true_rate >= settings.target_sensitivity - 1e-9].min()),
        "positive_share": float(np.mean(logits > 0)),
    }


def has_collapsed(epoch: int, positive_share: float, labels: np.ndarray, settings: TrainSettings) -> bool:
    """Whether more than `collapse_share` of the predictions are of one class, after the first `grace` epochs.

    If one class has more than that share of the labels, only predicting it for every picture counts.
    """
    majority = max(labels.mean(), 1 - labels.mean())
    limit = settings.collapse_share if majority < settings.collapse_share else 1 - 0.5 / len(labels)
    return epoch >= settings.grace and max(positive_share, 1 - positive_share) > limit


def prior_shift(labels: np.ndarray, settings: TrainSettings) -> float:
    """The offset that undoes class weights in a logit: log(weight 0 / weight 1); 0 without weights or with focal loss.

    Weighted cross-entropy learns the odds times weight 1 / weight 0 (Elkan 2001). Training needs balanced classes,
    but the loss and the share of positives are computed for the real ones. The export fits an offset of its own.
    """
    if not settings.class_weights or settings.loss != "bce":
        return 0.0
    weights = class_weights(labels)
    return float(np.log(weights[0] / weights[1]))
