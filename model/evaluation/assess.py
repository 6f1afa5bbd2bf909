"""Score the pictures of a data set with a bundle, and count what is refused."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model.evaluation.calibrate import sigmoid

if TYPE_CHECKING:
    from model.data.dataset import DataSet, Sample
    from model.serving.predict import Classifier
from model.evaluation.metrics import evaluate


def score(classifier: "Classifier", samples: Sequence["Sample"]) -> tuple[np.ndarray, np.ndarray]:
    """(logits float64 [n], labels int64 [n]) of samples, each decoded and scored alone as in serving."""
    from model.data.dataset import read
    from model.images.decode import to_input

    height, width = classifier.bundle.height, classifier.bundle.width
    found = [classifier.logits(to_input(read(sample), height, width)[np.newaxis])[0] for sample in samples]
    return np.array(found, dtype=np.float64), np.array([sample.label for sample in samples], dtype=np.int64)


def refusals(classifier: "Classifier", samples: Sequence["Sample"]) -> int:
    """How many samples serving would refuse to score. They still count in every figure of `evaluate`."""
    from model.data.dataset import picture
    from model.images import refuse
    from model.images.limits import Refused

    block, count = classifier.bundle.manifest["refusal"], 0
    for sample in samples:
        try:
            refuse.check(picture(sample), block)
        except Refused:
            count += 1
    return count


def assess(classifier: "Classifier", dataset: "DataSet", part: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Score one part of a data set: (document, labels [n], probabilities [n])."""
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
