"""Score the pictures of a data set with a bundle, and count those that serving would refuse."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.data.dataset import DataSet, Sample, picture, read
from model.evaluation.calibrate import sigmoid
from model.evaluation.metrics import evaluate
from model.images import refuse
from model.images.decode import to_input
from model.images.limits import Refused
from model.serving.predict import Classifier


def score(classifier: Classifier, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """(logits float64 [n], labels int64 [n]) of samples, each decoded and scored separately as in serving."""
    height, width = classifier.bundle.height, classifier.bundle.width
    logits = [classifier.logits(to_input(read(sample), height, width)[np.newaxis])[0] for sample in samples]
    return np.array(logits, dtype=np.float64), np.array([sample.label for sample in samples], dtype=np.int64)


def refusals(classifier: Classifier, samples: Sequence[Sample]) -> int:
    """The number of samples that serving would refuse. All metrics include these samples."""
    model, count = classifier.bundle.manifest["refusal"], 0
    for sample in samples:
        try:
            refuse.check(picture(sample), model)
        except Refused:
            count += 1
    return count


def assess(classifier: Classifier, dataset: DataSet, part: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Score one part of a data set: (document, labels [n], probabilities [n]). Raises ValueError if it is empty."""
    samples = dataset.part(part)
    if not samples:
        raise ValueError(f"{dataset.name} has no {part} pictures")
    bundle = classifier.bundle
    logits, labels = score(classifier, samples)
    probabilities = sigmoid(logits, bundle.temperature)
    document = {
        "model": {"name": bundle.name, "version": bundle.version},
        "data": {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, "part": part},
        "metrics": evaluate(labels, probabilities, bundle.threshold),
        "refused": refusals(classifier, samples),
    }
    return document, labels, probabilities
