"""Choose the drawing whose score a bundle remembers, and prove by it that the finished bundle serves."""

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
    """The drawing that readiness scores again: accepted by the refusal, and of the least certain probability.

    A saturated probability would stay in its band whatever happened to the network.
    """
    accepted = []
    for opacity in (True, False):
        for seed in KNOWN_SEEDS:
            picture = decode(phantom.png(seed, KNOWN_SIZE, opacity))
            try:
                refuse.check(picture, classifier.bundle.manifest["refusal"])
            except Refused:
                continue
            accepted.append((classifier.probability(picture.grey), seed, opacity))
    if not accepted:
        raise ExportError("every drawing is refused by this bundle's own statistics: the health gate could not pass")
    probability, seed, opacity = min(accepted, key=lambda one: abs(one[0] - 0.5))
    return {
        "seed": seed,
        "size": KNOWN_SIZE,
        "opacity": opacity,
        "probability": probability,
        "tolerance": KNOWN_TOLERANCE,
    }


def prove(directory: Path) -> None:
    """Open the finished bundle as serving does and score its known picture by the way of an upload."""
    classifier = Classifier(bundles.load(directory, deep=True))
    known = classifier.bundle.manifest["known_picture"]
    scored = classifier.predict(phantom.png(known["seed"], known["size"], known["opacity"]), "known.png")
    probability = scored["probability"]
    if probability is None or not abs(probability - known["probability"]) <= known["tolerance"]:
        raise ExportError(f"the finished bundle gives {probability} for its known picture, not {known}")
