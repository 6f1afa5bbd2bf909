"""The section "refusal" of bundle.json: its tables fit together, or the bundle is refused."""

from pathlib import Path
from typing import Any

import pytest

from model import bundle
from model.bundle import BundleError
from tests.model.manifests import classifier, packed, put, rewrite


def with_classifier(manifest: dict[str, Any]) -> dict[str, Any]:
    """Add a classifier of the right shape."""
    added = classifier(len(manifest["refusal"]["names"]))
    manifest["refusal"] |= {"caution_limit": 3.5, "classifier": added}
    return added


def test_a_classifier_of_unsuitable_pictures_is_optional(bundle_dir: Path) -> None:
    assert "classifier" not in bundle.load(bundle_dir).manifest["refusal"]
    rewrite(bundle_dir, with_classifier)
    assert bundle.load(bundle_dir).manifest["refusal"]["classifier"]["limit"] == -2.5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("limit", None),
        ("limit", True),
        ("mean", [0.0]),
        ("mean", "0"),
        ("spread", [0.0] * 73),
        ("spread", ["1"] * 73),
        ("layers", [73, 2]),
        ("layers", [72, 2, 1]),
        ("layers", [73]),
        ("layers", [73, 2.0, 1]),
        ("layers", [73, 0, 1]),
        ("layers", None),
        ("weights", []),
        ("weights", [packed(146)]),
        ("weights", [packed(145), packed(2)]),
        ("weights", [packed(146), packed(2, float("nan"))]),
        ("weights", [packed(146), packed(2)[:-3]]),
        ("weights", [packed(146), 7]),
        ("weights", [packed(146), "é"]),
        ("biases", [packed(2), packed(1, float("inf"))]),
        ("biases", [packed(2), packed(2)]),
        ("biases", None),
    ],
)
def test_an_impossible_classifier_is_refused(bundle_dir: Path, key: str, value: object) -> None:
    rewrite(bundle_dir, lambda manifest: with_classifier(manifest).update({key: value}))
    with pytest.raises(BundleError, match=r"refusal\.classifier"):
        bundle.load(bundle_dir)


@pytest.mark.parametrize("key", ["mean", "spread", "layers", "weights", "biases", "limit"])
def test_an_incomplete_classifier_is_refused(bundle_dir: Path, key: str) -> None:
    rewrite(bundle_dir, lambda manifest: with_classifier(manifest).pop(key))
    with pytest.raises(BundleError, match=rf"refusal\.classifier\.{key} is missing"):
        bundle.load(bundle_dir)


EXPOSURE = {"mean": [0.3, 0.66], "spread": [0.12, 0.3]}


def test_the_exposure_of_films_is_optional(bundle_dir: Path) -> None:
    rewrite(bundle_dir, put("refusal.exposure", EXPOSURE))
    assert bundle.load(bundle_dir).manifest["refusal"]["exposure"] == EXPOSURE


@pytest.mark.parametrize(
    "exposure",
    [
        None,
        [],
        {},
        {"mean": [0.3, 0.66]},
        EXPOSURE | {"median": [0.3, 0.66]},
        EXPOSURE | {"mean": [0.66, 0.3]},
        EXPOSURE | {"mean": [0.3]},
        EXPOSURE | {"mean": 0.3},
        EXPOSURE | {"spread": ["0.12", "0.3"]},
        EXPOSURE | {"spread": [False, True]},
        EXPOSURE | {"spread": None},
    ],
)
def test_an_impossible_exposure_is_refused(bundle_dir: Path, exposure: object) -> None:
    rewrite(bundle_dir, put("refusal.exposure", exposure))
    with pytest.raises(BundleError, match=r"refusal\.exposure"):
        bundle.load(bundle_dir)
