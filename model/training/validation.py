"""Judge a network by its logits on the validation part: what to choose it by, when to stop it, what to mend."""

from __future__ import annotations

import numpy as np

from model.settings import TrainSettings
from model.training.augment import class_weights


def watched(labels: np.ndarray, logits: np.ndarray, settings: TrainSettings) -> dict[str, float]:
    """What validation says of an epoch, for choosing weights (the reported figures are evaluate's).

    loss: mean binary cross-entropy of the logits [n], unweighted. auc: area under the ROC curve.
    recall: the highest sensitivity at which the specificity is still >= fixed_specificity; a network that calls
    everything positive gets 0, where plain recall would give it 1.
    specificity: the highest specificity at which the sensitivity is >= target_sensitivity.
    positive_share: of pictures with a logit above 0, for the collapse guard.
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
    """Whether more than `collapse_share` of validation is called one class, `grace` epochs after the start.

    Where validation itself is more lopsided than that, only calling all of it one class counts.
    """
    lopsided = max(labels.mean(), 1 - labels.mean())
    limit = settings.collapse_share if lopsided < settings.collapse_share else 1 - 0.5 / len(labels)
    return epoch >= settings.grace and max(positive_share, 1 - positive_share) > limit


def prior_shift(labels: np.ndarray, settings: TrainSettings) -> float:
    """What class weights took off the logit: log of weight 0 / weight 1; 0 without weights or with focal loss.

    Weighted cross-entropy learns the odds times weight 1 / weight 0 (Elkan 2001). Training with both classes equal
    is right for learning, but loss and share of positives are to be judged as told; the export fits its own offset.
    """
    if not settings.class_weights or settings.loss != "bce":
        return 0.0
    weights = class_weights(labels)
    return float(np.log(weights[0] / weights[1]))
