"""What a new bundle states as measured: on which films its thresholds are chosen, and which are counted."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.bundling import measure
from model.data.dataset import DataSet
from model.data.shifted import DRAWS
from model.evaluation import calibrate
from model.evaluation.metrics import score_bins

FILMS, TEMPERATURE = 200, 2.0
LABELS = np.arange(FILMS) % 2
COPY_LABELS = LABELS.repeat(DRAWS)


def logits(labels: np.ndarray, seed: int, shift: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(np.where(labels == 1, 2, -2) + shift)


PLAIN, COPIES = logits(LABELS, 1, 0), logits(COPY_LABELS, 2, 1)


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Films that are numbers: the logit of a copy is looked up by its only pixel."""
    found = SimpleNamespace(labels=LABELS, logits=PLAIN, refused=np.arange(FILMS) < 3)
    monkeypatch.setattr(measure, "score", lambda *_: found)
    monkeypatch.setattr(measure.plots, "report", lambda *_: [])
    bundle = SimpleNamespace(temperature=TEMPERATURE)
    classifier: Any = SimpleNamespace(bundle=bundle, logits=lambda pixels: COPIES[pixels[:, 0, 0, 0].astype(int)])
    pixels = np.arange(len(COPIES), dtype=np.float32).reshape(-1, 1, 1, 1)
    copies = (pixels, COPY_LABELS)
    return measure.sections(classifier, DataSet("x", (), ""), copies, 0.95, False, tmp_path, None)


def test_both_thresholds_are_chosen_on_all_copies(sections: Any) -> None:
    probabilities = calibrate.sigmoid(COPIES, TEMPERATURE)
    points = sections["operating_points"]
    for name, target in (("balanced", 0.95), ("screening", 0.99)):
        assert points[name]["threshold"] == calibrate.threshold(probabilities, COPY_LABELS, target)
        assert points[name]["chosen_on"] == "shifted validation"
        called = calibrate.sigmoid(PLAIN, TEMPERATURE) >= points[name]["threshold"]
        assert points[name]["validation"]["sensitivity"]["value"] == called[LABELS == 1].mean()
    assert sections["operating_point"]["threshold"] == points["balanced"]["threshold"]


def test_one_copy_of_each_film_is_counted(sections: Any) -> None:
    first = calibrate.sigmoid(COPIES, TEMPERATURE)[::DRAWS] >= sections["operating_point"]["threshold"]
    counted = sections["shifted"]["confusion"]
    assert (counted["tp"], counted["fp"]) == (first[LABELS == 1].sum(), first[LABELS == 0].sum())
    assert sections["shifted"]["n"] == FILMS == sections["metrics"]["validation"]["n"]
    assert sections["metrics"]["validation"]["refused"] == 3 and sections["metrics"]["test"] is None


def test_how_the_validation_films_score_is_counted_in_tenths(sections: Any) -> None:
    probabilities = calibrate.sigmoid(PLAIN, TEMPERATURE)
    counted = [int(((probabilities * 10 >= tenth) & (probabilities * 10 < tenth + 1)).sum()) for tenth in range(10)]
    assert sections["metrics"]["validation"]["score_bins"] == counted and sum(counted) == FILMS
    assert score_bins(np.array([0.0, 0.1, 0.99, 1.0])) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
