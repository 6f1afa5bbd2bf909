"""Score the pictures of a data set with a bundle, and count those that serving would refuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.data.dataset import DataSet, Sample, picture
from model.evaluation.calibrate import sigmoid
from model.evaluation.metrics import evaluate
from model.images.decode import Picture, as_input
from model.images.dicom_header import Stated
from model.images.limits import Refused
from model.serving.predict import Classifier

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Scores:
    """The scores of n samples: logits float64 [n], labels int64 [n], refused bool [n], and what the headers state.

    refused: the samples that serving refuses. They are scored here, too.
    """

    logits: np.ndarray
    labels: np.ndarray
    refused: np.ndarray
    stated: tuple[Stated, ...]


@dataclass(frozen=True)
class Assessment:
    """A scored part of a data set, and the document of its figures; probabilities: float64 [n] in 0..1."""

    document: dict[str, Any]
    samples: tuple[Sample, ...]
    scores: Scores
    probabilities: np.ndarray
    threshold: float


def score(classifier: Classifier, samples: Sequence[Sample], advance: Advance = lambda _: None) -> Scores:
    """Score samples, each decoded and scored as in serving. `advance` is called with 1 after each."""
    logits, refused, stated = [], [], []
    for sample in samples:
        decoded = picture(sample)
        logit, unsuitable = score_picture(classifier, decoded)
        logits.append(logit)
        refused.append(unsuitable)
        stated.append(decoded.stated)
        advance(1)
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    return Scores(np.array(logits, dtype=np.float64), labels, np.array(refused, dtype=bool), tuple(stated))


def score_picture(classifier: Classifier, decoded: Picture) -> tuple[float, bool]:
    """(logit, whether serving refuses the picture)."""
    resized = classifier.resize(decoded.grey)
    logit = float(classifier.logits(as_input(resized)[np.newaxis])[0])
    try:
        classifier.check(decoded, resized)
    except Refused:
        return logit, True
    return logit, False


def assess(classifier: Classifier, dataset: DataSet, part: str, advance: Advance = lambda _: None) -> Assessment:
    """Score one part of a data set. Raises ValueError if it is empty.

    The document's `metrics` are of all pictures, so that two models can be compared by them; `in_use` are those of the
    pictures that serving does not refuse, None if it refuses all.
    """
    samples = dataset.part(part)
    if not samples:
        raise ValueError(f"{dataset.name} has no {part} pictures")
    bundle = classifier.bundle
    scores = score(classifier, samples, advance)
    labels, probabilities = scores.labels, sigmoid(scores.logits, bundle.temperature)
    suitable = ~scores.refused
    document = {
        "model": {"name": bundle.name, "version": bundle.version},
        "data": {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, "part": part},
        "metrics": evaluate(labels, probabilities, bundle.threshold),
        "refused": int(scores.refused.sum()),
        "in_use": evaluate(labels[suitable], probabilities[suitable], bundle.threshold) if suitable.any() else None,
    }
    return Assessment(document, samples, scores, probabilities, bundle.threshold)
