"""Bundles: missing, damaged and contradictory content is refused, and the message names it."""

import base64
import copy
import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model import bundle
from model import files as model_files
from model.bundle import BundleError


@pytest.fixture
def bundle_dir(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def rewrite(bundle_dir: Path, change: Callable[[dict[str, Any]], object], honest: bool = True) -> None:
    """Change bundle.json manually; `honest` updates the version hash."""
    path = bundle_dir / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if honest:
        rest = {key: value for key, value in manifest.items() if key != "version"}
        canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        manifest["version"] = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    path.write_text(json.dumps(manifest))


def test_whole_bundle_loads_with_its_facts(tiny_bundle: Path) -> None:
    for deep in (False, True):
        loaded = bundle.load(tiny_bundle, deep)
        assert (loaded.name, loaded.threshold, loaded.temperature) == ("tiny-linear", 0.5, 1.0)
        assert (loaded.height, loaded.width, loaded.directory) == (32, 32, tiny_bundle)
        assert len(loaded.version) == 12 and int(loaded.version, 16) >= 0


def test_the_training_ages_are_optional(bundle_dir: Path) -> None:
    assert bundle.load(bundle_dir).ages is None
    rewrite(bundle_dir, lambda manifest: manifest["data"].update(ages=[1, 5]))
    assert bundle.load(bundle_dir).ages == (1, 5)


def test_the_version_is_the_hash_of_the_other_content(tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    version = manifest.pop("version")
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    assert version == hashlib.sha256(canonical).hexdigest()[:12]


def test_every_file_is_named_with_its_hash(tiny_bundle: Path) -> None:
    files = bundle.load(tiny_bundle).manifest["files"]
    assert set(files) == {"model.keras", "model.onnx", "MODEL_CARD.md"}
    for name, digest in files.items():
        assert hashlib.sha256((tiny_bundle / name).read_bytes()).hexdigest() == digest


def test_writing_again_changes_the_version_only_with_the_content(bundle_dir: Path) -> None:
    before = bundle.load(bundle_dir)
    rest = {key: value for key, value in before.manifest.items() if key not in ("version", "files")}
    assert bundle.write(bundle_dir, rest).version == before.version
    (bundle_dir / "report").mkdir()
    (bundle_dir / "report" / "roc.png").write_bytes(b"plot")
    after = bundle.write(bundle_dir, rest)
    assert after.version != before.version and "report/roc.png" in after.manifest["files"]


def test_an_interrupted_write_leaves_no_partial_bundle(bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = {key: value for key, value in bundle.load(bundle_dir).manifest.items() if key not in ("version", "files")}
    (bundle_dir / "bundle.json").unlink()
    monkeypatch.setattr(model_files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        bundle.write(bundle_dir, rest)
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        bundle.load(bundle_dir)
    monkeypatch.undo()
    assert set(bundle.write(bundle_dir, rest).manifest["files"]) == {"model.keras", "model.onnx", "MODEL_CARD.md"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_manifest_that_is_no_json_is_not_written(bundle_dir: Path, value: object) -> None:
    rest = dict(bundle.load(bundle_dir).manifest)
    rest["metrics"] = {"validation": {"auc": value}}
    (bundle_dir / "bundle.json").unlink()
    with pytest.raises(BundleError, match="cannot be written as JSON"):
        bundle.write(bundle_dir, rest)
    assert not (bundle_dir / "bundle.json").exists()


REQUIRED = [
    "schema",
    "name",
    "version",
    "created",
    "input",
    "input.height",
    "input.width",
    "input.resize",
    "labels",
    "temperature",
    "operating_point",
    "operating_point.threshold",
    "operating_point.chosen_on",
    "refusal",
    "refusal.names",
    "refusal.limit",
    "known_picture",
    "known_picture.probability",
    "metrics",
    "data",
    "files",
    "intended_use",
]


@pytest.mark.parametrize("field", REQUIRED)
def test_missing_field_is_named(bundle_dir: Path, field: str) -> None:
    def remove(manifest: dict[str, Any]) -> None:
        *parents, last = field.split(".")
        for key in parents:
            manifest = manifest[key]
        del manifest[last]

    rewrite(bundle_dir, remove, honest=field != "version")
    with pytest.raises(BundleError, match=field.partition(".")[0]) as caught:
        bundle.load(bundle_dir)
    assert str(bundle_dir / "bundle.json") in str(caught.value)


def put(dotted: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = dotted.split(".")
        for key in parents:
            manifest = manifest[key]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("schema", "1"),
        ("operating_point.threshold", 0),
        ("operating_point.threshold", 1),
        ("operating_point.threshold", -0.1),
        ("operating_point.threshold", None),
        ("operating_point.threshold", "0.5"),
        ("operating_point.threshold", True),
        ("temperature", 0),
        ("temperature", -1),
        ("labels", ["pneumonia", "no pneumonia"]),
        ("input.channels", 3),
        ("input.range", [0, 1]),
        ("input.resize", "crop"),
        ("input.height", 0),
        ("input.height", 64.5),
        ("refusal.limit", 0),
        ("refusal.mean", [1.0]),
        ("refusal.precision", [[1.0]]),
        ("refusal.precision", [["1"] * 73] * 73),
        ("refusal.mean", [None] * 73),
        ("refusal.caution_limit", 0),
        ("refusal.caution_limit", "3"),
        ("refusal.classifier", []),
        ("known_picture.probability", 1.5),
        ("known_picture.size", 10),
        ("files", []),
        ("files", {"MODEL_CARD.md": "0" * 64}),
        ("name", 7),
        ("data.ages", "1 to 5"),
        ("data.ages", [1]),
        ("data.ages", [5, 1]),
        ("data.ages", [-1, 5]),
        ("data.ages", [1, 500]),
        ("data.ages", [1.5, 5]),
        ("data.ages", [False, True]),
    ],
)
def test_impossible_value_is_refused(bundle_dir: Path, field: str, value: object) -> None:
    rewrite(bundle_dir, put(field, value))
    with pytest.raises(BundleError, match=field.partition(".")[0]):
        bundle.load(bundle_dir)


def packed(count: int, value: float = 0.5) -> str:
    """float32 values as a bundle holds them."""
    return base64.b64encode(struct.pack("<f", value) * count).decode()


def with_classifier(manifest: dict[str, Any]) -> dict[str, Any]:
    """Add a classifier of the right shape: one hidden layer of two units."""
    count = len(manifest["refusal"]["names"])
    layers = {"layers": [count, 2, 1], "weights": [packed(2 * count), packed(2)], "biases": [packed(2), packed(1)]}
    classifier = {"mean": [0.0] * count, "spread": [1.0] * count, **layers, "limit": -2.5}
    manifest["refusal"] |= {"caution_limit": 3.5, "classifier": classifier}
    return classifier


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


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_and_infinity_are_refused_everywhere(bundle_dir: Path, word: str) -> None:
    path = bundle_dir / "bundle.json"
    for field in ('"limit": ', '"threshold": ', '"temperature": '):
        text = (bundle_dir / "bundle.json").read_text()
        at = text.index(field) + len(field)
        end = min(text.index(mark, at) for mark in ",\n}" if mark in text[at:])
        path.write_text(text[:at] + word + text[end:])
        with pytest.raises(BundleError, match=r"not valid JSON|not finite"):
            bundle.load(bundle_dir)
        path.write_text(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\x01", '{"schema": 1}'])
def test_damaged_manifest_is_refused(bundle_dir: Path, text: str) -> None:
    (bundle_dir / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        bundle.load(bundle_dir)


def test_manifest_changed_after_writing_is_refused(bundle_dir: Path) -> None:
    rewrite(bundle_dir, put("operating_point.threshold", 0.9), honest=False)
    with pytest.raises(BundleError, match="version is not the hash"):
        bundle.load(bundle_dir)


def test_damaged_network_is_refused(bundle_dir: Path) -> None:
    content = bytearray((bundle_dir / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_dir / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx does not have the recorded sha256"):
        bundle.load(bundle_dir)


def test_only_a_deep_check_hashes_files_that_serving_does_not_read(bundle_dir: Path) -> None:
    (bundle_dir / "model.keras").write_bytes(b"exchanged")
    bundle.load(bundle_dir)
    with pytest.raises(BundleError, match=r"model\.keras does not have"):
        bundle.load(bundle_dir, deep=True)


@pytest.mark.parametrize("name", ["model.onnx", "MODEL_CARD.md"])
def test_missing_file_is_refused(bundle_dir: Path, name: str) -> None:
    (bundle_dir / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        bundle.load(bundle_dir, deep=True)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_files_outside_the_bundle_are_refused(bundle_dir: Path, name: str) -> None:
    rewrite(bundle_dir, lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(BundleError, match="outside the bundle"):
        bundle.load(bundle_dir, deep=True)


def test_directory_without_a_bundle_says_so(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match=r"is not a model bundle"):
            bundle.load(directory)


def test_write_refuses_a_bundle_that_would_not_load(bundle_dir: Path) -> None:
    rest = copy.deepcopy(bundle.load(bundle_dir).manifest)
    del rest["operating_point"]["threshold"]
    (bundle_dir / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"operating_point\.threshold is missing"):
        bundle.write(bundle_dir, rest)
    assert not (bundle_dir / "bundle.json").exists()


def test_pretrained_lies_beside_the_module() -> None:
    assert bundle.pretrained() == Path(bundle.__file__).parent / "pretrained"


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
