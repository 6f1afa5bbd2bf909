"""Score the pictures of a data set with a bundle, and count those that serving would refuse."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.data.dataset import DataSet, Sample, picture
from model.evaluation.calibrate import sigmoid
from model.evaluation.metrics import evaluate
from model.images import refuse
from model.images.decode import to_input
from model.images.limits import Refused
from model.serving.predict import Classifier


def score(classifier: Classifier, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray, int]:
    """(logits float64 [n], labels int64 [n], refused) of samples, each decoded and scored separately as in serving.

    refused: the number of samples that serving would refuse. They are scored, too.
    """
    height, width = classifier.bundle.height, classifier.bundle.width
    logits, refused = [], 0
    for sample in samples:
        decoded = picture(sample)
        logits.append(classifier.logits(to_input(decoded.grey, height, width)[np.newaxis])[0])
        try:
            refuse.check(decoded, classifier.refusal)
        except Refused:
            refused += 1
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    return np.array(logits, dtype=np.float64), labels, refused


def assess(classifier: Classifier, dataset: DataSet, part: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Score one part of a data set: (document, labels [n], probabilities [n]). Raises ValueError if it is empty."""
    samples = dataset.part(part)
    if not samples:
        raise ValueError(f"{dataset.name} has no {part} pictures")
    bundle = classifier.bundle
    logits, labels, refused = score(classifier, samples)
    probabilities = sigmoid(logits, bundle.temperature)
    document = {
        "model": {"name": bundle.name, "version": bundle.version},
        "data": {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, "part": part},
        "metrics": evaluate(labels, probabilities, bundle.threshold),
        "refused": refused,
    }
    return document, labels, probabilities
