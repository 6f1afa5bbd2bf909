"""The classifier: one document for every picture, and never a finding for a bad one."""

import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import bundle, phantom
from model.bundle import BundleError
from model.images import decode
from model.serving.predict import Classifier, identity
from model.serving.prediction import FORMAT, Scoring

KEYS = [
    *("id", "file", "finding", "refusal", "probability", "threshold", "operating_point"),
    *("cautions", "model", "input", "created", "elapsed_ms"),
]


@pytest.mark.parametrize("seed", range(100, 120))
def test_drawings_with_and_without_opacity_are_distinguished(classifier: Classifier, seed: int) -> None:
    plain = classifier.predict(phantom.png(seed, 256), "plain.png")
    opaque = classifier.predict(phantom.png(seed, 256, opacity=True), "opaque.png")
    assert (plain["finding"], opaque["finding"]) == ("no pneumonia", "pneumonia")
    assert plain["refusal"] is opaque["refusal"] is None
    assert 0 < plain["probability"] < 0.5 <= opaque["probability"] < 1


def test_document_has_exactly_the_agreed_fields(classifier: Classifier) -> None:
    content = phantom.png(3, 256)
    before = datetime.now(UTC)
    document = classifier.predict(content, "ward 3/a b.png")
    assert list(document) == KEYS
    assert document["file"] == "ward 3/a b.png"
    assert document["input"] == {"format": "PNG", "width": 256, "height": 256}
    assert document["model"] == {"name": "tiny-linear", "version": classifier.bundle.version}
    assert document["threshold"] == 0.5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["created"])
    since = datetime.now(UTC) - before
    assert timedelta(milliseconds=-1) <= datetime.fromisoformat(document["created"]) - before <= since
    assert 0 < document["elapsed_ms"] <= since.total_seconds() * 1000
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_id_depends_on_content_name_model_and_format_only(classifier: Classifier) -> None:
    content = phantom.png(3, 256)
    first, second = classifier.predict(content, "a.png"), classifier.predict(content, "a.png")
    assert first["id"] == second["id"] and re.fullmatch("[0-9a-f]{32}", first["id"])
    parts = f"{FORMAT}\0{hashlib.sha256(content).hexdigest()}\0a.png\0{classifier.bundle.version}"
    assert first["id"] == hashlib.sha256(parts.encode()).hexdigest()[:32]
    others = {
        identity("0", "b.png", Scoring("v")),
        identity("0", "a.png", Scoring("w")),
        identity("1", "a.png", Scoring("v")),
        identity("0", "a.png", Scoring("v")),
    }
    assert len(others) == 4


def test_id_takes_file_names_that_are_no_unicode() -> None:
    assert len(identity("0", "r\udcf6ntgen.png", Scoring("v"))) == 32


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable"),
        (b"%PDF-1.7", "unreadable"),
        (phantom.png(1, 256)[:-2000], "unreadable"),
        (phantom.png(1, 63), "too_small"),
    ],
)
def test_undecodable_pictures_are_refused_without_a_probability(
    classifier: Classifier, content: bytes, code: str
) -> None:
    prediction, picture = classifier.examine(content, "x.png")
    assert prediction["refusal"]["code"] == code and prediction["refusal"]["reason"]
    assert prediction["finding"] is prediction["probability"] is prediction["input"] is picture is None
    assert prediction["threshold"] == 0.5


def test_decodable_picture_that_is_no_xray_is_refused_with_its_size(classifier: Classifier) -> None:
    file = BytesIO()
    Image.new("L", (300, 200), 120).save(file, "PNG")
    prediction, picture = classifier.examine(file.getvalue(), "blank.png")
    assert prediction["refusal"]["code"] == "not_an_xray"
    assert prediction["finding"] is prediction["probability"] is None
    assert prediction["input"] == {"format": "PNG", "width": 300, "height": 200}
    assert picture is not None


def test_probability_is_the_calibrated_logit(classifier: Classifier, tiny_bundle: Path) -> None:
    grey = phantom.draw(5, 256)
    pixels = decode.to_input(grey, 32, 32)[np.newaxis]
    logit = float(classifier.logits(pixels)[0])
    manifest = {**classifier.bundle.manifest, "temperature": 2.5}
    warm = Classifier(bundle.Bundle(tiny_bundle, manifest), threads=1)
    assert classifier.probability(grey) == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
    assert warm.probability(grey) == pytest.approx(1 / (1 + math.exp(-logit / 2.5)), abs=1e-6)


def test_finding_turns_at_the_bundles_own_threshold(classifier: Classifier, tiny_bundle: Path) -> None:
    content = phantom.png(5, 256)
    probability = classifier.predict(content, "a")["probability"]
    for threshold, finding in ((probability, "pneumonia"), (probability + 1e-9, "no pneumonia")):
        manifest = dict(classifier.bundle.manifest)
        manifest["operating_point"] = {**manifest["operating_point"], "threshold": threshold}
        moved = Classifier(bundle.Bundle(tiny_bundle, manifest), threads=1)
        assert moved.predict(content, "a")["finding"] == finding


def test_network_without_a_number_is_an_error_and_no_finding(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "logits", lambda pixels: np.array([np.nan], dtype=np.float32))
    with pytest.raises(ArithmeticError, match="not finite"):
        classifier.predict(phantom.png(5, 256), "a.png")


def test_extreme_logits_stay_probabilities(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    for logit, expected in ((-5000.0, 0.0), (5000.0, 1.0)):
        monkeypatch.setattr(classifier, "logits", lambda pixels, logit=logit: np.array([logit]))
        assert classifier.probability(phantom.draw(1, 64)) == expected


def test_self_check_scores_the_known_picture(classifier: Classifier) -> None:
    measured, expected, tolerance = classifier.self_check()
    assert abs(measured - expected) < 1e-4 < tolerance


def test_threads_share_one_classifier(classifier: Classifier) -> None:
    contents = [phantom.png(seed, 256, seed % 2 == 0) for seed in range(200, 206)]
    expected = [classifier.predict(content, "a")["probability"] for content in contents]
    seen: list[list[float]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        seen[number] = [classifier.predict(content, "a")["probability"] for content in contents]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 4


def test_bundle_of_other_statistics_is_refused(tiny_bundle: Path) -> None:
    loaded = bundle.load(tiny_bundle)
    refusal = {**loaded.manifest["refusal"], "names": ["mean"]}
    with pytest.raises(BundleError, match="refusal statistics"):
        Classifier(bundle.Bundle(tiny_bundle, {**loaded.manifest, "refusal": refusal}))


def test_network_with_another_input_than_declared_is_refused(tiny_bundle: Path) -> None:
    loaded = bundle.load(tiny_bundle)
    declared = {**loaded.manifest["input"], "height": 64}
    with pytest.raises(BundleError, match=r"bundle.json declares"):
        Classifier(bundle.Bundle(tiny_bundle, {**loaded.manifest, "input": declared}))


def test_file_that_is_no_network_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    (copy / "model.onnx").write_bytes(b"not a network")
    manifest = {key: value for key, value in bundle.load(tiny_bundle).manifest.items() if key != "files"}
    bundle.write(copy, manifest)
    with pytest.raises(BundleError, match="ONNX Runtime cannot load it"):
        Classifier.open(copy)


def test_scoring_a_png_loads_little(tiny_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(phantom.png(1, 256))
    script = (
        "import sys, pathlib\n"
        "from model.serving.predict import Classifier\n"
        "content = pathlib.Path(sys.argv[2]).read_bytes()\n"
        "assert Classifier.open(pathlib.Path(sys.argv[1])).predict(content, 'a')['finding']\n"
        "print('\\n'.join(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, str(tiny_bundle), str(picture)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    packages = {name.split(".")[0] for name in loaded.stdout.split()}
    assert {"onnxruntime", "PIL", "numpy"} <= packages
    assert not packages & {
        "tensorflow",
        "keras",
        "scipy",
        "sklearn",
        "matplotlib",
        "pydicom",
        "imagecodecs",
        "rich",
        "onnx",
    }
