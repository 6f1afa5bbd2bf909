"""Named operating points: chosen on validation alone, stored in the bundle, and read from older bundles, too."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import bundle, phantom
from model.bundle import BundleError
from model.bundling import thresholds
from model.evaluation.intervals import proportion
from model.serving.operating_points import Point, choose, read
from model.serving.predict import Classifier, identity
from model.serving.prediction import Choices, Scoring, checked_prediction

RATE = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
RATES = {"sensitivity": RATE, "specificity": RATE}
POINT = {"threshold": 0.5, "target_sensitivity": 0.97, "chosen_on": "validation", "validation": RATES, "test": None}
POINTS = {"balanced": POINT, "screening": POINT | {"threshold": 0.01, "target_sensitivity": 0.99, "test": RATES}}


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def with_points(directory: Path, points: Any) -> bundle.Bundle:
    manifest = {key: value for key, value in bundle.load(directory).manifest.items() if key not in ("version", "files")}
    return bundle.write(directory, manifest | {"operating_points": points})


def test_thresholds_are_chosen_on_validation_and_measured_on_every_part() -> None:
    random = np.random.default_rng(3)
    scored = {}
    for part, shift in (("validation", 1.5), ("test", 0.5)):
        labels = np.repeat([0, 1], 500)
        scored[part] = (labels, 1 / (1 + np.exp(-random.normal(np.where(labels == 1, shift, -shift)))))
    points = thresholds.measure(scored, 0.9)
    alone = thresholds.measure({"validation": scored["validation"]}, 0.9)
    assert {name: point["threshold"] for name, point in points.items()} == {
        name: point["threshold"] for name, point in alone.items()
    }
    assert all(point["test"] is None for point in alone.values())
    assert points["screening"]["threshold"] < points["balanced"]["threshold"]
    assert (points["balanced"]["target_sensitivity"], points["screening"]["target_sensitivity"]) == (0.9, 0.99)
    for point in points.values():
        assert point["chosen_on"] == "validation"
        assert point["validation"]["sensitivity"]["value"] >= point["target_sensitivity"]
        for part, (labels, probabilities) in scored.items():
            found = int((probabilities[labels == 1] >= point["threshold"]).sum())
            assert point[part]["sensitivity"] == proportion(found, 500)  # Wilson


def test_both_points_are_chosen_on_the_shifted_copies_if_there_are_any() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1], 500)
    plain, higher = (
        (labels, 1 / (1 + np.exp(-random.normal(np.where(labels == 1, 1.5, -1.5) + shift)))) for shift in (0, 1)
    )
    alone = thresholds.measure({"validation": plain}, 0.9)
    points = thresholds.measure({"validation": plain, thresholds.SHIFTED: higher}, 0.9)
    assert points["screening"]["threshold"] < points["balanced"]["threshold"]
    for name, point in points.items():
        assert point["chosen_on"] == "shifted validation"
        assert point["threshold"] > alone[name]["threshold"]
        assert (higher[1][labels == 1] >= point["threshold"]).mean() >= point["target_sensitivity"]
        assert point["validation"]["sensitivity"]["n"] == 500  # measured on the films


def test_screening_lies_below_balanced_if_copies_score_far_lower() -> None:
    labels = np.repeat([0, 1], 500)
    rising = np.linspace(0.01, 0.99, 1000)
    points = thresholds.measure({"validation": (labels, rising), thresholds.SHIFTED: (labels, rising / 10)}, 0.97)
    assert points["screening"]["threshold"] < points["balanced"]["threshold"] < 0.1


def test_a_higher_target_is_that_of_screening_too() -> None:
    labels = np.repeat([0, 1], 50)
    points = thresholds.measure({"validation": (labels, np.linspace(0.01, 0.99, 100))}, 0.995)
    assert points["screening"] == points["balanced"]


def test_a_bundle_with_points_is_read(copy: Path) -> None:
    loaded = with_points(copy, POINTS)
    points = read(loaded.manifest)
    assert {name: point.threshold for name, point in points.items()} == {"balanced": 0.5, "screening": 0.01}
    assert points["screening"].described == {"name": "screening", "validation": RATES, "test": RATES}


def test_an_older_bundle_has_its_one_point(tiny_bundle: Path) -> None:
    manifest = bundle.load(tiny_bundle).manifest
    described = {"name": "balanced", "validation": RATES, "test": None}
    assert read(manifest) == {"balanced": Point(0.5, described)}
    measured = {**manifest, "metrics": {"test": RATES | {"auc": RATE}}}
    assert read(measured)["balanced"].described == described | {"test": RATES}
    bare = {**manifest, "operating_point": {"threshold": 0.5, "chosen_on": "validation"}}
    assert read(bare)["balanced"].described == {"name": "balanced", "validation": None, "test": None}


def test_the_shipped_bundle_says_what_was_measured_at_its_point() -> None:
    manifest = bundle.load(bundle.pretrained()).manifest
    described = choose(manifest).described
    assert described is not None and described["name"] == "balanced"
    for part, count in (("validation", 482), ("test", 390)):
        assert described[part]["sensitivity"] == manifest["metrics"][part]["sensitivity"]
        assert described[part]["sensitivity"]["n"] == count


@pytest.mark.parametrize(
    "points",
    [
        [],
        {},
        {"screening": POINT},
        {"balanced": None},
        {"balanced": POINT, "": POINT},
        {"balanced": POINT, "a" * 31: POINT},
        {"balanced": POINT, "Screening": POINT},
        {"balanced": POINT, "screening\n": POINT},
        {"balanced": POINT, "\x1b[2Kscreening": POINT},
        {"balanced": POINT | {"test": {"sensitivity": RATE, "specificity": RATE | {"low": 0.92}}}},
        {"balanced": POINT | {"validation": {"sensitivity": RATE | {"high": 0.89}, "specificity": RATE}}},
        {"balanced": POINT | {"other": 1}},
        {"balanced": POINT | {"threshold": 0.4}},
        {"balanced": POINT, "screening": POINT | {"threshold": 1}},
        {"balanced": POINT, "screening": POINT | {"threshold": "0.1"}},
        {"balanced": POINT, "screening": POINT | {"validation": {"sensitivity": RATE}}},
        {"balanced": POINT, "screening": POINT | {"test": {"sensitivity": RATE, "specificity": RATE | {"low": -1}}}},
        {"balanced": {key: value for key, value in POINT.items() if key != "chosen_on"}},
    ],
)
def test_points_that_are_not_valid_are_refused(copy: Path, points: Any) -> None:
    with pytest.raises(BundleError, match="operating_points"):
        with_points(copy, points)


def test_a_finding_names_its_point(copy: Path) -> None:
    loaded = with_points(copy, POINTS)
    content = phantom.png(5, 256)
    documents = {}
    for name in (None, "balanced", "screening"):
        classifier = Classifier(loaded, threads=1, choices=Choices(operating_point=name))
        documents[name] = checked_prediction(classifier.predict(content, "a.png"))
        assert classifier.scoring.made(documents[name])
    for name in (None, "balanced"):
        assert documents[name]["operating_point"] == {"name": "balanced", "validation": RATES, "test": None}
        assert (documents[name]["threshold"], documents[name]["finding"]) == (0.5, "no pneumonia")
    assert documents["screening"]["operating_point"]["name"] == "screening"
    assert (documents["screening"]["threshold"], documents["screening"]["finding"]) == (0.01, "pneumonia")
    assert documents[None]["id"] == documents["balanced"]["id"] != documents["screening"]["id"]
    assert documents[None]["id"] == identity(hashlib.sha256(content).hexdigest(), "a.png", Scoring(loaded.version))
    assert not Scoring(loaded.version).made(documents["screening"])


def test_a_threshold_by_hand_belongs_to_no_point_and_says_so(copy: Path) -> None:
    loaded = with_points(copy, POINTS)
    classifier = Classifier(loaded, threads=1, choices=Choices(threshold=0.3))
    document = checked_prediction(classifier.predict(phantom.png(5, 256), "a.png"))
    assert (document["threshold"], document["operating_point"]) == (0.3, None)
    assert "threshold_by_hand" in [each["code"] for each in document["cautions"]]
    assert classifier.scoring.made(document) and not Scoring(loaded.version).made(document)
    same = Classifier(loaded, threads=1, choices=Choices(threshold=0.01))  # it was measured: it is that point
    assert same.predict(phantom.png(5, 256), "a.png")["operating_point"]["name"] == "screening"


def test_an_unknown_name_lists_the_known_ones(copy: Path) -> None:
    with pytest.raises(ValueError, match="no operating point 'cautious'; it has: balanced, screening"):
        choose(with_points(copy, POINTS).manifest, "cautious")
