"""Choose the drawing whose score is stored in a bundle, and verify with it that the finished bundle can serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model import bundle as bundles
from model import phantom
from model.bundling.onnx import ExportError
from model.images import refuse
from model.images.decode import decode
from model.images.limits import Refused
from model.serving.predict import Classifier

KNOWN_SIZE, KNOWN_TOLERANCE = 512, 0.01
KNOWN_SEEDS = range(1, 9)


def known_picture(classifier: Classifier) -> dict[str, Any]:
    """The drawing that the readiness check scores: one that is not refused, with the probability nearest to 0.5.

    A probability near 0 or 1 would stay within the tolerance even if the network were damaged.
    """
    accepted = []
    for opacity in (True, False):
        for seed in KNOWN_SEEDS:
            picture = decode(phantom.png(seed, KNOWN_SIZE, opacity))
            try:
                refuse.check(picture, classifier.refusal, classifier.resize(picture.grey))
            except Refused:
                continue
            accepted.append((classifier.probability(picture.grey), seed, opacity))
    if not accepted:
        raise ExportError(
            "the refusal statistics of this bundle refuse every drawing: the health check could never pass"
        )
    probability, seed, opacity = min(accepted, key=lambda candidate: abs(candidate[0] - 0.5))
    return {
        "seed": seed,
        "size": KNOWN_SIZE,
        "opacity": opacity,
        "probability": probability,
        "tolerance": KNOWN_TOLERANCE,
    }


def verify(directory: Path) -> None:
    """Load the finished bundle as serving does and score its known picture. Raises ExportError if the score differs."""
    classifier = Classifier(bundles.load(directory, deep=True))
    recorded = classifier.bundle.manifest["known_picture"]
    scored = classifier.predict(phantom.png(recorded["seed"], recorded["size"], recorded["opacity"]), "known.png")
    probability = scored["probability"]
    if probability is None or not abs(probability - recorded["probability"]) <= recorded["tolerance"]:
        raise ExportError(f"the finished bundle scores its known picture {probability}, not as recorded: {recorded}")
