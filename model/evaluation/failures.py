"""The most confident wrong findings of a scored data set, and one picture that shows them without patient data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from model.data.dataset import Sample, picture

MOST = 12  # of each kind
SIDE = 224  # pixels of the longer side of a film in the picture
KINDS = {"missed": "pneumonia, called none", "false_alarms": "no pneumonia, called so"}


def find(samples: Sequence[Sample], probabilities: np.ndarray, refused: np.ndarray, threshold: float) -> dict[str, Any]:
    """The wrong findings by kind, `missed` and `false_alarms`: how many of how many, and the most confident ones.

    A picture is named by the digest of its file: a file name may tell who the patient is.
    """
    labels = np.array([sample.label for sample in samples])
    called = probabilities >= threshold
    wrong = {"missed": (labels == 1) & ~called, "false_alarms": (labels == 0) & called}
    confidence = np.where(called, probabilities, 1 - probabilities)
    document = {}
    for kind, label in (("missed", 1), ("false_alarms", 0)):
        indices = np.flatnonzero(wrong[kind])
        most = sorted(indices, key=lambda index: (-confidence[index], samples[index].sha256))[:MOST]
        document[kind] = {
            "n": len(indices),
            "of": int((labels == label).sum()),
            "shown": [
                {
                    "sha256": samples[index].sha256,
                    "probability": float(probabilities[index]),
                    "refused": bool(refused[index]),
                }
                for index in most
            ],
        }
    return document


def thumbnail(sample: Sample) -> Image.Image | None:
    """A small copy of a film, its pixels alone; None if its header says that text is burned into it."""
    decoded = picture(sample)
    if decoded.stated.burned_in:
        return None
    film = decoded.grey.copy()
    film.info = {}
    film.thumbnail((SIDE, SIDE))
    return film
