"""`pneumoctl model calibrate`: the new version in the registry, and how the gate of a promotion treats it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import bundle, phantom
from model.evaluation import calibrate as fitting
from model.images.decode import decode
from model.serving.predict import Classifier
from pneumoctl import installation
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.registry import evaluations, gate, store
from pneumoctl.registry.store import Registered

POSITIVES, NEGATIVES = 40, 20
ALL = ("--target-sensitivity", "1")  # so few films suffice only for a sensitivity of 1


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough drawings for a classifier that is right on all of them."""
    root = tmp_path_factory.mktemp("films") / "films"
    for label, count in (("PNEUMONIA", POSITIVES), ("NORMAL", NEGATIVES)):
        (root / label).mkdir(parents=True)
        for seed in range(count):
            phantom.draw(200 + seed, 192, label == "PNEUMONIA").save(root / label / f"person{seed}.png")
    return root


@pytest.fixture
def base(tiny_bundle: Path) -> Registered:
    return store.register(tiny_bundle)


def command(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["model", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_a_new_version_is_registered_beside_the_original(
    base: Registered, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = Path(shutil.copytree(films, tmp_path / "extra"))
    noise = np.random.default_rng(1).integers(0, 256, (192, 192), dtype=np.uint8)
    Image.fromarray(noise).save(extra / "NORMAL" / "noise.png")  # refused in use
    document = command(capsys, "calibrate", base.id, str(extra), *ALL, "--name", "ward-7")
    assert document["base"] == base.id and document["model"].startswith("ward-7-") and document["readings"] == 1
    assert {key: document["films"][key] for key in ("n", "positives", "negatives", "refused")} == {
        "n": 60,
        "positives": 40,
        "negatives": 20,
        "refused": 1,
    }
    assert set(store.names()) == {base.id, document["model"]}
    model = store.get(document["model"])
    assert model.origin == f"calibrated from {base.id}"
    assert store.get(base.id).manifest == base.manifest
    assert document["before"]["n"] == document["metrics"]["n"] == 60
    assert document["operating_points"] == model.manifest["operating_points"]
    # The fit is the one of all films that serving scores.
    classifier = Classifier(bundle.load(base.directory))
    logits, labels = [], []
    for path in sorted(films.rglob("*.png")):
        p = classifier.probability(decode(path.read_bytes()).grey)
        logits.append(np.log(p / (1 - p)))
        labels.append(int(path.parent.name == "PNEUMONIA"))
    temperature, offset = fitting.calibration(logits, labels)
    assert model.manifest["temperature"] == pytest.approx(temperature, rel=1e-3)
    assert model.manifest["calibration"]["offset"] == pytest.approx(offset, abs=1e-3)
    assert "person" not in json.dumps(model.manifest) + (model.directory / "MODEL_CARD.md").read_text()
    assert run(["model", "show", model.id]) == 0
    output = capsys.readouterr().out
    assert "calibrated on 60 own films, 40 with pneumonia, on 20" in output and "chosen on own films" in output
    assert "60 own films" in output and "validation of" not in output
    listed = {entry["model"]: entry for entry in command(capsys, "ls")["models"]}
    assert listed[model.id]["measured_on"].startswith("60 own films")


def test_the_gate_does_not_compare_on_the_films_of_the_calibration(
    base: Registered, films: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = store.get(command(capsys, "calibrate", base.id, str(films), *ALL)["model"])
    (comparison,) = gate.compare(model, base)  # the reading of the original is recorded
    assert not comparison.same
    assert run(["model", "evaluate", model.id, str(films)]) == 0
    assert f"{model.id} was calibrated on 60 of these 60 pictures: the figures" in capsys.readouterr().err
    for candidate, reference in ((model, base), (base, model)):
        (comparison,) = gate.compare(candidate, reference)
        assert not comparison.same and comparison.chosen_by == model.id
        (fault,) = comparison.faults()
        assert fault.startswith(f"the operating points of {model.id} were chosen on the 60 pictures")
        assert f"that it and {base.id} have scored" in fault
    error = command(capsys, "promote", base.id, "--force", "--reason", "a test")
    assert error["model"] == base.id
    error = command(capsys, "promote", model.id, code=Exit.GATE_FAILED)["error"]
    assert "only other pictures can tell" in error["message"] and f"model evaluate {model.id} DIR" in error["hint"]
    # Neither does a part of these films, under other names and with others.
    part = Path(shutil.copytree(labelled, tmp_path / "part"))
    shutil.copy(films / "NORMAL" / "person3.png", part / "NORMAL" / "other-name.png")
    for each in (base, model):
        assert run(["model", "evaluate", each.id, str(part)]) == 0
    assert f"{model.id} was calibrated on 1 of these 17 pictures" in capsys.readouterr().err
    (comparison,) = gate.compare(model, base)
    assert not comparison.same and comparison.chosen_by == model.id
    # Other films tell.
    for each in (base, model):
        assert run(["model", "evaluate", each.id, str(labelled)]) == 0
    (comparison,) = gate.compare(model, base)
    assert comparison.same and comparison.candidate_on.startswith("16 pictures")


def test_two_models_that_were_calibrated_on_the_same_films_are_compared_there(
    base: Registered, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        store.get(command(capsys, "calibrate", base.id, str(films), "--target-sensitivity", target)["model"])
        for target in ("0.999", "1")
    )
    (comparison,) = gate.compare(first, second)
    assert comparison.same and comparison.candidate_on.startswith("60 own films")


def test_too_few_films_are_refused_unread(base: Registered, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = command(capsys, "calibrate", base.id, str(labelled), code=Exit.FAILED)["error"]
    assert "8 films with pneumonia are too few" in error["message"] and "add labelled films" in error["hint"]
    assert evaluations.of_model(base.id) == [] and store.names() == [base.id]


@pytest.mark.parametrize("words", [("--target-sensitivity", "0"), ("--target-sensitivity", "1.1"), ("--name", "a/b")])
def test_an_impossible_option_is_a_usage_error(
    words: tuple[str, ...], base: Registered, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "calibrate", base.id, str(films), *words, code=Exit.USAGE)
    assert store.names() == [base.id]


def test_a_wide_interval_is_refused(base: Registered, films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sensitivity of 0.95 on 40 films may as well be 0.84."""
    error = command(capsys, "calibrate", base.id, str(films), code=Exit.FAILED)["error"]
    assert "about 83 such films would do at the operating point balanced" in error["message"]
    assert store.names() == [base.id]


def test_refused_films_do_not_count(
    bundle_of_children: Path, films: Path, adult_film: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One film too few is left if 5 of 39 are of an adult."""
    folder = Path(shutil.copytree(films, tmp_path / "mixed"))
    for number in range(6):
        (folder / "PNEUMONIA" / f"person{number}.png").unlink()
    for number in range(5):
        (folder / "PNEUMONIA" / f"adult{number}.dcm").write_bytes(adult_film)
    error = command(capsys, "calibrate", store.register(bundle_of_children).id, str(folder), *ALL, code=1)["error"]
    assert "34 films with pneumonia are too few" in error["message"]
    assert error["message"].endswith("; 5 films are refused in use and not counted")


def test_the_folder_must_be_named(
    base: Registered, films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody calibrates on a test split without saying so."""
    monkeypatch.setenv("PNEUMO_DATA", str(films.parent))
    command(capsys, "calibrate", base.id, code=Exit.USAGE)


def test_without_the_extra_it_says_what_to_install(
    base: Registered, films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "missing", lambda extra: ["onnx", "tf2onnx"] if extra == "train" else [])
    error = command(capsys, "calibrate", base.id, str(films), code=1)["error"]
    assert error["message"] == "calibration needs onnx"
