"""`pneumoctl model evaluate`: the document, the tables and the files of the report say the same."""

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import phantom
from model.evaluation.corruptions import COPIES, KINDS
from pneumoctl import installation
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.registry import evaluations, store
from pneumoctl.registry.store import Registered
from tests.model.conftest import Films


@pytest.fixture
def model(tiny_bundle: Path) -> Registered:
    return store.register(tiny_bundle)


def evaluate(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["model", "evaluate", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def cells(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}), n = {figure['n']}"


def test_headers_give_subgroups_and_the_tables_are_the_document(
    model: Registered, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, view in ((101, "AP"), (102, "PA")):
        drawn = np.asarray(phantom.draw(number, 192, True))
        film = Films.make(drawn, PatientAge="003Y", ViewPosition=view, WindowCenter=127.5, WindowWidth=256)
        (labelled / "PNEUMONIA" / f"{view}.dcm").write_bytes(Films.content(film))
    document = evaluate(capsys, model.id, str(labelled))
    assert {name: group["n"] for name, group in document["subgroups"]["view"].items()} == {
        "AP": 1,
        "PA": 1,
        "unknown": 16,
    }
    assert document["subgroups"]["age"]["1 to 5"]["n"] == 2 and document["subgroups"]["age"]["1 to 5"]["auc"] is None
    assert document["decision_curve"]["n"] == 18 and "corruptions" not in document and "report" not in document
    assert run(["model", "evaluate", model.id, str(labelled)]) == 0
    output = capsys.readouterr().out
    assert "by view:" in output and "by age:" in output and "1 to 5" in output
    assert cells(document["subgroups"]["view"]["unknown"]["sensitivity"]) in output
    at = document["decision_curve"]["points"][9]["model"]
    assert f"{at['value']:.3f} ({at['low']:.3f} to {at['high']:.3f})" in output
    assert "pneumonia, called none: 0 of 10; no pneumonia, called so: 0 of 8" in output
    # What is recorded has no patient data: no name of a file, no age.
    record = evaluations.chain().path.read_text()
    assert "person" not in record and "1 to 5" not in record


def test_a_table_gives_subgroups(
    model: Registered, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("file,age\nNORMAL/person100.png,0\nPNEUMONIA/person100.png,70\n")
    document = evaluate(capsys, model.id, str(labelled), "--table", "t.csv")
    assert {name: group["n"] for name, group in document["subgroups"]["age"].items()} == {
        "under 1": 1,
        "65 and older": 1,
        "unknown": 14,
    }
    (tmp_path / "t.csv").write_text("file,age\nNORMAL/person100.png,old\n")
    error = evaluate(capsys, model.id, str(labelled), "--table", "t.csv", code=Exit.USAGE)["error"]
    assert "line 2: age must be" in error["message"]
    assert len(evaluations.of_model(model.id)) == 1  # the faulty table was found before the pictures were read


def test_a_report_is_the_document_with_plots(
    model: Registered, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (labelled / "NORMAL" / "person105.png").rename(labelled / "PNEUMONIA" / "doe.png")  # so that one is wrong
    folder = tmp_path / "reports" / "first"
    document = evaluate(capsys, model.id, str(labelled), "--report", str(folder))
    assert document["failures"]["missed"]["n"] == 1 and document["report"] == str(folder)
    plots = {f"evaluation_{name}.png" for name in ("roc", "precision_recall", "confusion", "calibration")}
    written = {path.name for path in folder.iterdir()}
    assert written == plots | {"metrics.json", "scores.json", "decision_curve.png", "failures.png"}
    assert set(document["report_files"]) == written
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700  # it has small copies of films
    stored = json.loads((folder / "metrics.json").read_text())
    assert all(document[name] == value for name, value in stored.items())
    assert {*stored} == {*document} - {"readings", "report", "report_files"}
    assert not [path.name for path in folder.iterdir() if b"doe" in path.read_bytes() or b"person" in path.read_bytes()]
    # The next report has no wrong finding, and no picture of an earlier one.
    (labelled / "PNEUMONIA" / "doe.png").unlink()
    evaluate(capsys, model.id, str(labelled), "--report", str(folder))
    assert not (folder / "failures.png").exists()


def test_corruptions_are_measured_on_request(
    model: Registered, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(labelled.rglob("*.png"))[2:8] + sorted(labelled.rglob("*.png"))[10:]:
        path.unlink()
    words = ("--corruptions", "--report", str(tmp_path / "report"))
    assert run(["model", "evaluate", model.id, str(labelled), *words]) == 0
    output = capsys.readouterr().out
    stored = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert set(stored["corruptions"]["kinds"]) == set(KINDS) and (tmp_path / "report" / "corruptions.png").exists()
    lines = output.partition("after corruptions, 4 pictures each:")[2].splitlines()
    rows = [line for line in lines if line.startswith(("clean", *KINDS))]
    assert len(rows) == COPIES
    assert cells(stored["corruptions"]["kinds"]["crop"][4]["specificity"]) in output


def test_a_report_without_matplotlib_is_refused_before_the_pictures_are_read(
    model: Registered, labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "missing", lambda extra: ["matplotlib"] if extra == "train" else [])
    error = evaluate(capsys, model.id, str(labelled), "--report", "r", code=1)["error"]
    assert error["message"] == "a report needs matplotlib" and "train" in error["hint"]
    assert evaluations.of_model(model.id) == []


def test_a_report_that_cannot_be_written_is_an_error(
    model: Registered, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    error = evaluate(capsys, model.id, str(labelled), "--report", str(tmp_path / "file" / "r"), code=1)["error"]
    assert "--report DIR" in error["hint"]
    assert len(evaluations.of_model(model.id)) == 1  # the pictures were read
