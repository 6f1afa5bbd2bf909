"""Bundles: written whole or not at all; damaged, missing and replaced files are refused, and the message names them."""

import copy
import hashlib
import json
from pathlib import Path

import pytest

from model import bundle
from model import files as model_files
from model.bundle import BundleError
from tests.model.manifests import put, rewrite


def test_whole_bundle_loads_with_its_facts(tiny_bundle: Path) -> None:
    for deep in (False, True):
        loaded = bundle.load(tiny_bundle, deep)
        assert (loaded.name, loaded.threshold, loaded.temperature) == ("tiny-linear", 0.5, 1.0)
        assert (loaded.height, loaded.width, loaded.directory) == (32, 32, tiny_bundle)
        assert len(loaded.version) == 12 and int(loaded.version, 16) >= 0


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
