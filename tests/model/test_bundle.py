"""Bundles: whatever is missing, damaged or contradictory is refused, with the place named."""

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model import bundle
from model import files as model_files
from model.bundle import BundleError


@pytest.fixture
def place(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def rewrite(place: Path, change: Callable[[dict[str, Any]], object], honest: bool = True) -> None:
    """Change bundle.json by hand; `honest` gives it the version hash of its new content."""
    path = place / "bundle.json"
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


def test_version_is_the_hash_of_everything_else(tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    version = manifest.pop("version")
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    assert version == hashlib.sha256(canonical).hexdigest()[:12]


def test_every_file_is_named_with_its_hash(tiny_bundle: Path) -> None:
    files = bundle.load(tiny_bundle).manifest["files"]
    assert set(files) == {"model.keras", "model.onnx", "MODEL_CARD.md"}
    for name, digest in files.items():
        assert hashlib.sha256((tiny_bundle / name).read_bytes()).hexdigest() == digest


def test_writing_again_changes_the_version_only_with_the_content(place: Path) -> None:
    before = bundle.load(place)
    rest = {key: value for key, value in before.manifest.items() if key not in ("version", "files")}
    assert bundle.write(place, rest).version == before.version
    (place / "report").mkdir()
    (place / "report" / "roc.png").write_bytes(b"plot")
    after = bundle.write(place, rest)
    assert after.version != before.version and "report/roc.png" in after.manifest["files"]


def test_writing_leaves_no_half_bundle(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = {key: value for key, value in bundle.load(place).manifest.items() if key not in ("version", "files")}
    (place / "bundle.json").unlink()
    monkeypatch.setattr(model_files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        bundle.write(place, rest)
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        bundle.load(place)
    monkeypatch.undo()
    assert set(bundle.write(place, rest).manifest["files"]) == {"model.keras", "model.onnx", "MODEL_CARD.md"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_manifest_that_is_no_json_is_not_written(place: Path, value: object) -> None:
    rest = dict(bundle.load(place).manifest)
    rest["metrics"] = {"validation": {"auc": value}}
    (place / "bundle.json").unlink()
    with pytest.raises(BundleError, match="cannot be written as JSON"):
        bundle.write(place, rest)
    assert not (place / "bundle.json").exists()


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
def test_missing_field_is_named(place: Path, field: str) -> None:
    def remove(manifest: dict[str, Any]) -> None:
        *parents, last = field.split(".")
        for key in parents:
            manifest = manifest[key]
        del manifest[last]

    rewrite(place, remove, honest=field != "version")
    with pytest.raises(BundleError, match=field.partition(".")[0]) as caught:
        bundle.load(place)
    assert str(place / "bundle.json") in str(caught.value)


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
        ("known_picture.probability", 1.5),
        ("known_picture.size", 10),
        ("files", []),
        ("files", {"MODEL_CARD.md": "0" * 64}),
        ("name", 7),
    ],
)
def test_impossible_value_is_refused(place: Path, field: str, value: object) -> None:
    rewrite(place, put(field, value))
    with pytest.raises(BundleError, match=field.partition(".")[0]):
        bundle.load(place)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused_everywhere(place: Path, word: str) -> None:
    path = place / "bundle.json"
    for field in ('"limit": ', '"threshold": ', '"temperature": '):
        text = (place / "bundle.json").read_text()
        at = text.index(field) + len(field)
        end = min(text.index(mark, at) for mark in ",\n}" if mark in text[at:])
        path.write_text(text[:at] + word + text[end:])
        with pytest.raises(BundleError, match=r"not valid JSON|not finite"):
            bundle.load(place)
        path.write_text(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\x01", '{"schema": 1}'])
def test_damaged_manifest_is_refused(place: Path, text: str) -> None:
    (place / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        bundle.load(place)


def test_manifest_changed_after_writing_is_refused(place: Path) -> None:
    rewrite(place, put("operating_point.threshold", 0.9), honest=False)
    with pytest.raises(BundleError, match="version is not the hash"):
        bundle.load(place)


def test_damaged_network_is_refused(place: Path) -> None:
    content = bytearray((place / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (place / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx does not have the recorded sha256"):
        bundle.load(place)


def test_only_a_deep_look_hashes_what_serving_does_not_read(place: Path) -> None:
    (place / "model.keras").write_bytes(b"exchanged")
    bundle.load(place)
    with pytest.raises(BundleError, match=r"model\.keras does not have"):
        bundle.load(place, deep=True)


@pytest.mark.parametrize("name", ["model.onnx", "MODEL_CARD.md"])
def test_missing_file_is_refused(place: Path, name: str) -> None:
    (place / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        bundle.load(place, deep=True)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_files_outside_the_bundle_are_refused(place: Path, name: str) -> None:
    rewrite(place, lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(BundleError, match="outside the bundle"):
        bundle.load(place, deep=True)


def test_directory_without_a_bundle_says_so(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match=r"is not a model bundle"):
            bundle.load(directory)


def test_write_takes_only_what_would_load(place: Path) -> None:
    rest = copy.deepcopy(bundle.load(place).manifest)
    del rest["operating_point"]["threshold"]
    (place / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"operating_point\.threshold is missing"):
        bundle.write(place, rest)
    assert not (place / "bundle.json").exists()


def test_pretrained_lies_beside_the_module() -> None:
    assert bundle.pretrained() == Path(bundle.__file__).parent / "pretrained"
