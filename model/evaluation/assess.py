"""Score the pictures of a data set with a bundle, and count those that serving would refuse."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.data.dataset import DataSet, Sample, picture
from model.evaluation.calibrate import sigmoid
from model.evaluation.metrics import evaluate
from model.images.decode import to_input
from model.images.limits import Refused
from model.serving.predict import Classifier


def score(classifier: Classifier, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(logits float64 [n], labels int64 [n], refused bool [n]) of samples, each decoded and scored as in serving.

    refused: the samples that serving refuses. They are scored here, too.
    """
    height, width = classifier.bundle.height, classifier.bundle.width
    logits, refused = [], np.zeros(len(samples), dtype=bool)
    for number, sample in enumerate(samples):
        decoded = picture(sample)
        logits.append(classifier.logits(to_input(decoded.grey, height, width)[np.newaxis])[0])
        try:
            classifier.check(decoded)
        except Refused:
            refused[number] = True
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    return np.array(logits, dtype=np.float64), labels, refused


def assess(classifier: Classifier, dataset: DataSet, part: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Score one part of a data set: (document, labels [n], probabilities [n]). Raises ValueError if it is empty.

    The document's `metrics` are of all pictures, so that two models can be compared by them; `in_use` are those of the
    pictures that serving does not refuse, None if it refuses all.
    """
    samples = dataset.part(part)
    if not samples:
        raise ValueError(f"{dataset.name} has no {part} pictures")
    bundle = classifier.bundle
    logits, labels, refused = score(classifier, samples)
    probabilities = sigmoid(logits, bundle.temperature)
    suitable = ~refused
    document = {
        "model": {"name": bundle.name, "version": bundle.version},
        "data": {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, "part": part},
        "metrics": evaluate(labels, probabilities, bundle.threshold),
        "refused": int(refused.sum()),
        "in_use": evaluate(labels[suitable], probabilities[suitable], bundle.threshold) if suitable.any() else None,
    }
    return document, labels, probabilities
