"""The evaluation of a model on a labelled folder: stored, counted, and refused as serving refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import bundle, phantom
from model.serving.predict import Classifier
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.registry import evaluations, gate, store
from pneumoctl.scoring.labelled import summarize
from pneumoctl.scoring.score import FileResult

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_an_evaluation_is_stored_counted_and_used_for_comparison(
    register_model: Any, labelled: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = register_model(None)

    def evaluate(name: str, folder: Path) -> tuple[dict[str, Any], str]:
        assert run(["model", "evaluate", name, str(folder), "--json"]) == 0
        captured = capfd.readouterr()
        return json.loads(captured.out), captured.err

    first, err = evaluate(model.id, labelled)
    assert first["metrics"]["sensitivity"]["value"] == 1 and first["metrics"]["n"] == 16
    assert first["readings"] == 1 and "independent test" not in err
    # The same pictures under other names elsewhere are the same; one more is not.
    copy = tmp_path / "copy"
    shutil.copytree(labelled, copy)
    (copy / "NORMAL" / "person100.png").rename(copy / "NORMAL" / "a.png")
    second, err = evaluate(model.id, copy)
    assert second["pictures"] == first["pictures"] and second["readings"] == 2 and "were evaluated 2 times" in err
    phantom.draw(300, 192, opacity=True).save(copy / "PNEUMONIA" / "b.png")
    assert evaluate(model.id, copy)[0]["readings"] == 1
    assert len(evaluations.of_model(model.id)) == 3 and evaluations.chain().verify().faults == ()
    assert "person" not in evaluations.chain().path.read_text()

    ours = store.shipped()
    evaluate(ours.id, labelled)
    comparisons = gate.compare(model, ours)
    assert [comparison.same for comparison in comparisons] == [True] and "on 16 pictures" in str(comparisons[0])
    assert str(comparisons[0]).endswith("refused 0 of 16; 0 of 16")


def test_an_evaluation_counts_what_serving_refuses(
    bundle_of_children: Path, labelled: Path, adult_film: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its looks and by the patient's age; the figures are of the others, as those of `infer` are."""
    model = store.register(bundle_of_children)
    noise = np.random.default_rng(1).integers(0, 256, (192, 192), dtype=np.uint8)
    Image.fromarray(noise).save(labelled / "NORMAL" / "noise.png")
    (labelled / "PNEUMONIA" / "adult.dcm").write_bytes(adult_film)
    classifier = Classifier(bundle.load(model.directory))
    files = {path: int(path.parent.name == "PNEUMONIA") for path in labelled.rglob("*.*")}
    outcomes = [FileResult(str(path), classifier.predict(path.read_bytes(), path.name)) for path in files]
    served = summarize(outcomes, {str(path): label for path, label in files.items()})
    assert served["refused"] == 2

    assert run(["model", "evaluate", model.id, str(labelled), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["metrics"]["n"], entry["refused"], entry["in_use"]["n"]) == (18, 2, 16)
    assert {name: entry["in_use"][name] for name in served["figures"]} == served["figures"]
    assert run(["model", "evaluate", model.id, str(labelled)]) == 0
    output = capsys.readouterr().out
    assert "18 pictures: 16 scored, 2 refused, 0 errors; the figures are of the scored pictures" in output
    assert output.count("\nsensitivity") == 2 and "with the refused pictures" in output
    assert run(["model", "show", model.id]) == 0
    assert "the 2 refused ones included" in capsys.readouterr().out


def test_a_folder_that_is_no_labelled_one_is_refused(
    register_model: Any, labelled: Path, tmp_path: Path, capsys: Any
) -> None:
    model = register_model(None)
    (labelled / "NORMAL" / "broken.png").write_bytes(b"no picture")
    for folder, code, word in ((labelled, 1, "cannot be evaluated"), (tmp_path, 2, "has no folders")):
        capsys.readouterr()
        assert run(["model", "evaluate", model.id, str(folder), "--json"]) == code
        assert word in json.loads(capsys.readouterr().out)["error"]["message"]
    assert evaluations.of_model(model.id) == []


def test_the_hint_of_evaluate_names_evaluate(
    register_model: Any,
    labelled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`infer` sends pictures to a stack; a user of `model evaluate` must not be referred to it."""
    model = register_model(None)

    def hint(*words: str) -> str:
        capsys.readouterr()
        assert run(["model", "evaluate", model.id, *words, "--json"]) == Exit.USAGE
        return str(json.loads(capsys.readouterr().out)["error"]["hint"])

    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    assert hint().startswith(f"pneumoctl model evaluate {model.id} DIR")
    (tmp_path / "empty").mkdir()
    for folder in ("none", "empty"):  # not the command that has just failed
        assert hint(str(tmp_path / folder)).startswith("name a folder that contains NORMAL and PNEUMONIA")
    labelled.rename(tmp_path / "test")
    assert hint(str(tmp_path)) == f"pneumoctl model evaluate {model.id} {tmp_path / 'test'}"
    monkeypatch.setenv("PNEUMO_DATA", str(tmp_path / "none"))
    assert hint() == f"pneumoctl model evaluate {model.id} DIR"
