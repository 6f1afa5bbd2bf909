"""The section "heat_map" of bundle.json: its mean map and its test are whole, or the bundle is refused."""

from pathlib import Path
from typing import Any

import pytest

from model import bundle
from model.bundle import BundleError
from tests.model.manifests import put, rewrite

INTERVAL = {"value": 2.0, "low": 1.5, "high": 2.5, "n": 40}


def with_heat_map(manifest: dict[str, Any]) -> dict[str, Any]:
    """Add a mean map and its test."""
    drops = {name: dict(INTERVAL) for name in ("own", "own_minus_mean", "mean_of_others", "random")}
    test = {"cells": 8, "drops": drops, "ratio": dict(INTERVAL)}
    manifest["heat_map"] = {"mean": [[0.5] * 8 for _ in range(8)], "films": 120, "occlusion_test": test}
    return manifest["heat_map"]


def test_the_mean_heat_map_is_optional(bundle_dir: Path) -> None:
    assert bundle.load(bundle_dir).heat_map is None
    rewrite(bundle_dir, with_heat_map)
    assert bundle.load(bundle_dir).heat_map["films"] == 120
    rewrite(bundle_dir, lambda manifest: with_heat_map(manifest).pop("occlusion_test"))
    assert set(bundle.load(bundle_dir).heat_map) == {"mean", "films"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("heat_map", []),
        ("heat_map.mean", [[0.5] * 8] * 7),
        ("heat_map.mean", [[0.5] * 7] * 8),
        ("heat_map.mean", [["0.5"] * 8] * 8),
        ("heat_map.mean", [[True] * 8] * 8),
        ("heat_map.mean", None),
        ("heat_map.films", 0),
        ("heat_map.films", 120.0),
        ("heat_map.other", 1),
        ("heat_map.occlusion_test", None),
        ("heat_map.occlusion_test.cells", True),
        ("heat_map.occlusion_test.drops", {}),
        ("heat_map.occlusion_test.drops.own", None),
        ("heat_map.occlusion_test.drops.random.n", 0),
        ("heat_map.occlusion_test.ratio.low", "1"),
        ("heat_map.occlusion_test.ratio", []),
    ],
)
def test_an_impossible_heat_map_is_refused(bundle_dir: Path, field: str, value: object) -> None:
    rewrite(bundle_dir, lambda manifest: (with_heat_map(manifest), put(field, value)(manifest)))
    with pytest.raises(BundleError, match="heat_map"):
        bundle.load(bundle_dir)


@pytest.mark.parametrize("field", ["mean", "films"])
def test_an_incomplete_heat_map_is_refused(bundle_dir: Path, field: str) -> None:
    rewrite(bundle_dir, lambda manifest: with_heat_map(manifest).pop(field))
    with pytest.raises(BundleError, match=rf"heat_map\.{field}"):
        bundle.load(bundle_dir)


def test_a_network_that_never_reacts_has_no_ratio(bundle_dir: Path) -> None:
    rewrite(bundle_dir, lambda manifest: with_heat_map(manifest)["occlusion_test"].update(ratio=None))
    assert bundle.load(bundle_dir).heat_map["occlusion_test"]["ratio"] is None
