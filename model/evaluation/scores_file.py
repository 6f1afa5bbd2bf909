"""Write the scores of a model to a file and read them back, to compare models without scoring again."""

import json
import math
from pathlib import Path

import numpy as np

from model.evaluation.paired import Scored

NAME = "scores.json"


def write(folder: Path, model: str, scored: Scored) -> None:
    """Write `scores.json` of a model (NAME-VERSION) into a folder: pictures by the digests of their files."""
    rows = zip(scored.pictures, scored.labels, scored.probabilities, strict=True)
    document = {
        "model": model,
        "thresholds": dict(scored.thresholds),
        "pictures": [
            {"sha256": digest, "label": int(label), "probability": float(probability)}
            for digest, label, probability in rows
        ],
    }
    (folder / NAME).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> tuple[str, Scored]:
    """The model and its scores from the `scores.json` in a folder. Raises ValueError if it is not such a file."""
    try:
        document = json.loads((folder / NAME).read_text(encoding="utf-8"))
        rows = document["pictures"]
        thresholds = {str(name): float(threshold) for name, threshold in document["thresholds"].items()}
        labels = np.array([row["label"] for row in rows], dtype=np.int64)
        probabilities = np.array([row["probability"] for row in rows], dtype=np.float64)
        scored = Scored([str(row["sha256"]) for row in rows], labels, probabilities, thresholds)
        model = str(document["model"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / NAME} is not a file of scores") from error
    numbers = [*probabilities, *thresholds.values()]
    if not rows or not np.isin(labels, (0, 1)).all() or not all(0 <= x <= 1 and math.isfinite(x) for x in numbers):
        raise ValueError(f"{folder / NAME} has a label that is not 0 or 1, or a number outside 0..1, or no picture")
    return model, scored
