"""The command that evaluates a bundle: it scores as serving does, and says what it cannot measure."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import evaluate as evaluation
from model import phantom
from model.data import dataset
from model.evaluation.metrics import evaluate
from model.serving.predict import Classifier


def test_help_works_without_tensorflow() -> None:
    code = "import sys; from model.evaluate import main; sys.argv=['x','--help']\ntry: main()\n"
    code += "except SystemExit: pass\nassert not {'tensorflow','keras','scipy','sklearn'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder tree of drawings, ten patients a class and part."""
    root = tmp_path_factory.mktemp("drawings") / "tree"
    phantom.tree(root, 10, seed=4)
    return root


def test_the_command_scores_the_test_part_as_serving_does(tiny_bundle: Path, drawings: Path, capsys) -> None:
    assert evaluation.main([str(tiny_bundle), str(drawings), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    classifier = Classifier.open(tiny_bundle)
    samples = dataset.load(drawings).part("test")
    served = [classifier.probability(dataset.read(sample)) for sample in samples]
    wanted = evaluate([sample.label for sample in samples], served, classifier.bundle.threshold)
    assert document["metrics"]["confusion"] == wanted["confusion"]
    assert document["metrics"]["brier"] == pytest.approx(wanted["brier"], abs=1e-9)
    assert document["metrics"]["auc"] == pytest.approx(wanted["auc"])
    assert document["model"] == {"name": "tiny-linear", "version": classifier.bundle.version}
    assert document["data"]["part"] == "test" and document["refused"] == 0


def test_the_command_prints_a_table_and_writes_plots(tiny_bundle: Path, drawings: Path, tmp_path: Path, capsys) -> None:
    assert evaluation.main([str(tiny_bundle), str(drawings), "--out", str(tmp_path / "new" / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = len(dataset.load(drawings).part("test"))
    assert lines[0].endswith(f"on test of tree: {count} pictures")
    assert [line.split()[0] for line in lines[2:8]] == ["AUC", *lines_of_rates()]
    written = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    plots = ("roc", "precision_recall", "confusion", "calibration")
    own = {"metrics.json", "scores.json", "decision_curve.png"}
    assert written - {"failures.png"} == own | {f"test_{name}.png" for name in plots}


def lines_of_rates() -> list[str]:
    return ["sensitivity", "specificity", "precision", "F1", "accuracy"]


def test_the_command_reads_a_medmnist_file_and_a_manifest(tiny_bundle: Path, drawings: Path, tmp_path, capsys) -> None:
    """The same pictures as a tree, an .npz and a CSV give the same figures."""
    samples, arrays = dataset.load(drawings).samples, {}
    for split in ("train", "val", "test"):
        part = [sample for sample in samples if sample.split == split] or samples[:1]
        arrays[f"{split}_images"] = np.stack([np.asarray(dataset.read(sample)) for sample in part])
        arrays[f"{split}_labels"] = np.array([[sample.label] for sample in part], np.uint8)
    arrays["val_images"] = 255 - arrays["val_images"]  # a copy of a training picture would be left out
    np.savez(tmp_path / "drawings.npz", **arrays)
    rows = [f"{sample.split},{sample.label},{sample.entry.path.relative_to(drawings)}" for sample in samples]
    (drawings / "list.csv").write_text("\n".join(["split,label,file", *rows]))
    scores = []
    for source in (drawings, tmp_path / "drawings.npz", drawings / "list.csv"):
        assert evaluation.main([str(tiny_bundle), str(source), "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["metrics"])
    assert scores[0] == scores[1] == scores[2]


def test_refused_pictures_are_counted_and_reported(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    root = tmp_path / "noise"
    for part, label in product(("train", "test"), ("NORMAL", "PNEUMONIA")):
        (root / part / label).mkdir(parents=True)
        pixels = np.random.default_rng(len(part + label)).integers(0, 256, (80, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(root / part / label / f"{part}{label}.png")
    assert evaluation.main([str(tiny_bundle), str(root)]) == 0
    assert "2 of them would be refused" in capsys.readouterr().out
    assert evaluation.main([str(tiny_bundle), str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["in_use"] is None


def test_the_validation_part_of_other_data_is_refused(tiny_bundle: Path, drawings: Path, capsys) -> None:
    """The training may have used these pictures, so figures on them would be too good."""
    assert evaluation.main([str(tiny_bundle), str(drawings), "--split", "validation"]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and "was not trained on tree" in streams.err


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert evaluation.main([str(tmp_path), str(tmp_path)]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.startswith("error: ") and streams.err.count("\n") == 1
