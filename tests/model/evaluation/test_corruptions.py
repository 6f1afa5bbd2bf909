"""Corruptions: each kind alters a film the more, the more severe it is; the copies are the same in each call."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.data.dataset import Sample
from model.data.sources import Entry
from model.evaluation.assess import score
from model.evaluation.corruptions import CLEAN, COPIES, KINDS, SEVERITIES, SIDE, measure, reduced
from model.serving.predict import Classifier


@cache
def film(seed: int) -> Image.Image:
    return phantom.draw(100 + seed, 256, seed % 2 == 1)


def seen(picture: Image.Image) -> np.ndarray:
    """About what the network sees."""
    assert picture.mode == "L"
    return np.asarray(picture.resize((64, 64), Image.Resampling.BILINEAR), float)


def change(kind: str, severity: int, seed: int) -> float:
    """The mean difference of grey values after a corruption."""
    copy = KINDS[kind](film(seed), severity, np.random.default_rng(seed))
    return float(np.abs(seen(copy) - seen(film(seed))).mean())


def test_there_are_thirteen_kinds_of_five_severities() -> None:
    assert len(KINDS) == 13 and SEVERITIES == (1, 2, 3, 4, 5) and COPIES == 66


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_is_the_more_visible_the_more_severe(kind: str) -> None:
    changes = [np.mean([change(kind, severity, seed) for seed in range(6)]) for severity in SEVERITIES]
    assert changes[0] > 0.02 and changes == sorted(changes), changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 80), (1, 300), (512, 512)])
def test_every_shape_of_film_can_be_corrupted(kind: str, size: tuple[int, int]) -> None:
    flat = Image.new("L", size, 90)
    for severity in SEVERITIES:
        copy = KINDS[kind](flat, severity, np.random.default_rng(severity))
        assert copy.width >= 1 and copy.height >= 1


def test_films_are_reduced_and_never_enlarged() -> None:
    assert reduced(Image.new("L", (2000, 1000))).size == (SIDE, SIDE // 2)
    assert reduced(Image.new("L", (100, 120))).size == (100, 120)


@pytest.fixture
def drawings(tmp_path: Path) -> list[Sample]:
    samples = []
    for seed in range(100, 104):
        for label in (0, 1):
            path = tmp_path / f"{seed}-{label}.png"
            phantom.draw(seed, 192, bool(label)).save(path)
            entry = Entry(path, path.name, label, "test", path.stem, "")
            samples.append(Sample(path.name, label, path.stem, "", "test", "", "", entry))
    return samples


def test_the_figures_of_corrupted_films_have_n_and_intervals(tiny_bundle: Path, drawings: list[Sample]) -> None:
    classifier, done = Classifier.open(tiny_bundle), []
    found = measure(classifier, drawings, done.append)
    assert len(done) == COPIES * len(drawings) and set(found["kinds"]) == set(KINDS)
    assert all(len(points) == 5 for points in found["kinds"].values())
    for point in (found[CLEAN], *(point for points in found["kinds"].values() for point in points)):
        assert point["n"] == 8 and point["sensitivity"]["n"] == point["specificity"]["n"] == 4
        for name in ("auc", "sensitivity", "specificity", "refused"):
            assert 0 <= point[name]["low"] <= point[name]["value"] <= point[name]["high"] <= 1
    # Drawings are not reduced, so that clean copies score as in serving.
    scores = score(classifier, drawings)
    assert found[CLEAN]["refused"]["value"] == scores.refused.mean()
    assert found[CLEAN]["sensitivity"]["value"] == 1.0
    assert measure(classifier, drawings) == found
