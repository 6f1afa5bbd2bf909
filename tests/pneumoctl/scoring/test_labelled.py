"""A labelled folder: names that reveal nothing about a patient, figures over the scored pictures only."""

import os
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import labelled
from pneumoctl.scoring.score import FileResult
from tests.predictions import FINDING, REFUSAL
from webapp.api.intake import clean_name


@pytest.mark.parametrize("file", ["a/Miller Anna.JPEG", "b.dcm", "c", "d.exe", "e.png.zip", "ü.png"])
def test_a_name_reveals_nothing_and_the_api_leaves_it_unchanged(file: str) -> None:
    name = labelled.anonymous_name(b"content", file)
    assert name.startswith("ed7002b439e9ac84") and len(Path(name).stem) == 16
    assert clean_name(name) == name and Path(name).suffix in ("", ".jpeg", ".dcm", ".png")


def outcome(number: int, probability: float | None, version: str = "v") -> FileResult:
    document: Any = REFUSAL
    if probability is not None:
        document = FINDING | {
            "finding": "pneumonia" if probability >= 0.5 else "no pneumonia",
            "probability": probability,
        }
    return FileResult(f"{number}", document | {"model": {"name": "m", "version": version}})


LABELS = {str(number): int(number < 4) for number in range(8)}


def test_a_folder_that_cannot_be_listed_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures without its pictures would be those of other films. Root can list all: the error is simulated."""
    for name in ("NORMAL", "PNEUMONIA/closed"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.png").touch()
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", refused)
    with pytest.raises(PneumoError, match="PNEUMONIA/closed: it cannot be listed") as caught:
        labelled.find(tmp_path, None, "pneumoctl infer")
    assert caught.value.code == Exit.PARTLY


def test_figures_count_scored_pictures_only() -> None:
    outcomes = [outcome(0, 0.9), outcome(1, 0.8), outcome(2, 0.2), outcome(3, None), outcome(4, 0.1), outcome(5, 0.6)]
    document = labelled.summarize([*outcomes, FileResult("6", None, "cut off")], LABELS)
    assert (document["pictures"], document["scored"], document["refused"]) == (7, 5, 1)
    assert document["errors"] == [{"file": "6", "message": "cut off"}]
    figures = document["figures"]
    assert (figures["sensitivity"]["value"], figures["specificity"]["value"]) == (2 / 3, 1 / 2)
    assert figures["auc"]["value"] == pytest.approx(5 / 6) and labelled.exit_code(document) == Exit.PARTLY


def test_one_class_alone_has_no_auc() -> None:
    figures = labelled.summarize([outcome(0, 0.9)], LABELS)["figures"]
    assert figures["auc"] is None and figures["specificity"] is None and figures["sensitivity"]["n"] == 1


def test_nothing_scored_has_no_figures() -> None:
    document = labelled.summarize([outcome(0, None)], LABELS)
    assert document["figures"] is None and labelled.exit_code(document) == Exit.PARTLY


def test_predictions_of_two_models_are_refused() -> None:
    with pytest.raises(PneumoError, match="changed during the run: a and b"):
        labelled.summarize([outcome(0, 0.9, "a"), outcome(1, 0.9, "b")], LABELS)
