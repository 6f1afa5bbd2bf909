"""`pneumoctl predict` as a user runs it: output, exit codes, heat maps, --resume and --remote."""

import csv
import fcntl
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.scoring.api_client import Endpoint
from tests.docs.documents import DOCS, Document

STATES_NO_AGES = "The model does not state the ages of the patients that it learned from."


def test_table_says_what_was_found_and_what_was_not_assessed(
    predict: Any, ward: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(ward) == Exit.PARTLY
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["FILE", "FINDING", "PROBABILITY", "THRESHOLD", "NOTE"]
    assert [line.split("  ")[0].rpartition("/")[2] for line in lines[1:5]] == [
        "a-ill.png", "b-well.png", "c-red.jpg", "d-half.png",
    ]  # fmt: skip
    assert " pneumonia " in lines[1] and " no pneumonia " in lines[2]
    assert "not assessed" in lines[3] and "not_an_xray: the picture has colours" in lines[3]
    assert "not assessed" in lines[4] and "unreadable" in lines[4]
    counts, _, skipped = lines[5].rpartition("; ")
    assert counts == "4 files: 1 pneumonia, 1 below the threshold, 2 not assessed, 0 errors"
    assert skipped.startswith("1 other file skipped: ") and skipped.endswith("/ward/e.txt")
    assert all(line.endswith(" on validation; caution: training_ages_unknown") for line in lines[1:3])
    assert "  below the balanced operating point: sensitivity .90 on validation; " in lines[2]
    assert lines[6:] == ["caution training_ages_unknown: " + STATES_NO_AGES]
    assert err == ""


def test_json_is_one_document(predict: Any, ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(ward, "--json", "--jobs", 2) == Exit.PARTLY
    document = json.loads(capsys.readouterr().out)
    documented = Document(DOCS / "predictions.md").json()[1]
    assert set(document) == set(documented) and set(document["summary"]) == set(documented["summary"])
    assert [prediction["finding"] for prediction in document["predictions"]] == [
        "pneumonia",
        "no pneumonia",
        None,
        None,
    ]
    assert [prediction["file"] for prediction in document["predictions"]] == sorted(
        str(p) for p in ward.iterdir() if p.suffix != ".txt"
    )
    assert document["errors"] == []
    assert document["skipped"] == [documented["skipped"][0] | {"file": str(ward / "e.txt")}]
    assert document["summary"] == {
        "files": 4, "pneumonia": 1, "no pneumonia": 1, "not assessed": 2, "errors": 0, "skipped": 1,
    }  # fmt: skip


def test_json_matches_the_classifier(
    predict: Any, ward: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from model.serving.predict import Classifier

    path = ward / "a-ill.png"
    assert predict(path, "--json") == Exit.DONE
    (printed,) = json.loads(capsys.readouterr().out)["predictions"]
    expected = Classifier.open(tiny_bundle, threads=1).predict(path.read_bytes(), str(path))
    assert printed | {"created": 0, "elapsed_ms": 0} == expected | {"created": 0, "elapsed_ms": 0}


def test_csv_has_a_row_for_each_file(predict: Any, ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(f"{ward}/*", "--csv") == Exit.PARTLY
    out = capsys.readouterr().out
    assert out.count("\r\n") == out.count("\n") == 5
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["finding"] for row in rows] == ["pneumonia", "no pneumonia", "", ""]
    assert [row["refusal_code"] for row in rows] == ["", "", "not_an_xray", "unreadable"]


def test_exit_codes(predict: Any, ward: Path) -> None:
    assert predict(ward / "a-ill.png", ward / "b-well.png") == Exit.DONE
    assert predict(ward / "b-well.png", "--fail-on-positive") == Exit.DONE
    assert predict(ward / "a-ill.png", "--fail-on-positive") == Exit.CHANGES
    assert predict(ward, "--fail-on-positive") == Exit.CHANGES
    assert predict(ward / "b-well.png", ward / "d-half.png", "--fail-on-positive") == Exit.PARTLY


def test_file_that_cannot_be_read_is_an_error_and_the_others_are_scored(
    predict: Any, ward: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ward / "b-well.png"
    real = Path.open

    def denied(self: Path, *words: Any, **options: Any) -> Any:
        if self == gone:
            raise PermissionError(13, "Permission denied")
        return real(self, *words, **options)

    monkeypatch.setattr(Path, "open", denied)
    assert predict(ward / "a-ill.png", gone, "--json") == Exit.PARTLY
    document = json.loads(capsys.readouterr().out)
    assert document["errors"] == [{"file": str(gone), "message": "cannot be read: Permission denied"}]
    assert len(document["predictions"]) == 1
    assert predict(gone) == Exit.FAILED


@pytest.mark.parametrize("words", [["nowhere.png"], ["*.gif"], ["--csv", "--json", "ward"], []])
def test_usage_errors_come_before_anything_is_scored(
    predict: Any, ward: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoctl.scoring.score.local_scorer", lambda *words: pytest.fail("loaded a model"))
    assert predict("ward/a-ill.png" if words else "--json", *words) == Exit.USAGE
    out, err = capsys.readouterr()
    assert "error:" in err and "next:" in err
    if "--json" in words or not words:
        assert json.loads(out)["error"]["code"] == 2


def test_heat_maps_are_named_by_id_and_drawn_for_findings_only(
    predict: Any, ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "new" / "maps"
    assert predict(ward, "--json", "--explain", maps) == Exit.PARTLY
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    expected = {f"{prediction['id']}.png" for prediction in predictions if prediction["finding"]}
    assert {path.name for path in maps.iterdir()} == expected and len(expected) == 2
    with Image.open(maps / expected.pop()) as drawn:
        assert drawn.mode == "RGB" and drawn.width == 512 < drawn.height  # enlarged, with a legend


def test_a_file_to_resume_that_another_process_uses_ends_with_5(
    predict: Any, ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "done.jsonl"
    with record.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert predict(ward, "--json", "--resume", record) == Exit.LOCKED
    assert json.loads(capsys.readouterr().out)["error"]["code"] == Exit.LOCKED
    assert record.read_bytes() == b""


def test_resumed_run_scores_only_what_is_missing(
    predict: Any, ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "results.jsonl"
    assert predict(ward / "a-ill.png", "--json", "--resume", record) == Exit.DONE
    first = json.loads(capsys.readouterr().out)["predictions"]
    assert predict(ward, "--json", "--resume", record) == Exit.PARTLY
    second = json.loads(capsys.readouterr().out)["predictions"]
    assert second[0] == first[0] and len(second) == 4  # with its time of creation: not scored again
    assert len(record.read_text().splitlines()) == 4


def test_many_files_show_progress_on_stderr_only(
    predict: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(25):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert predict(tmp_path, "--json") == Exit.PARTLY
    out, err = capsys.readouterr()
    assert len(json.loads(out)["predictions"]) == 25 and "predict: 25/25 files" in err


def test_remote_asks_the_stack(ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, str, str]] = []

    class Fake:
        def __init__(self, url: str, token: str, connections: int, socket: Path | None = None) -> None:
            self.at = (url, token)

        def score(self, content: bytes, file: str, path: str) -> dict[str, Any]:
            seen.append((*self.at, Path(file).name))
            return {
                "id": "1", "file": "a-ill.png", "finding": "pneumonia", "refusal": None, "probability": 0.9,
                "threshold": 0.5, "operating_point": None, "cautions": [],
                "model": {"name": "m", "version": "v"}, "created": "now",
            }  # fmt: skip

    monkeypatch.setattr("pneumoctl.cli.predict.ApiClient", Fake)
    monkeypatch.setattr("pneumoctl.targets.local.api.remote_api", lambda name: Endpoint(f"http://{name}", "token"))
    monkeypatch.setattr("pneumoctl.scoring.score.local_scorer", lambda *words: pytest.fail("used the local model"))
    path = str(ward / "a-ill.png")
    assert run(["predict", "--remote", "--stack", "lab", path, "--json"]) == Exit.DONE
    assert seen == [("http://lab", "token", "a-ill.png")]
    assert json.loads(capsys.readouterr().out)["predictions"][0]["file"] == path


def test_remote_without_a_stack_says_what_to_do(
    ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(ward / "state"))
    assert run(["predict", "--remote", str(ward)]) == Exit.FAILED
    assert "pneumoctl up" in capsys.readouterr().err


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--help"]) == Exit.DONE
    out = capsys.readouterr().out
    assert "takes precedence over 6" in " ".join(out.split()) and "Not a medical device" in out and "--resume" in out


def test_files_that_are_no_chest_film_never_have_a_finding(
    data_root: Path, ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the shipped bundle, all real chest films are assessed and no other file is."""
    monkeypatch.setenv("PNEUMO_OUTSIDE_USE", "score")  # some of the films are of adults
    kinds = sorted(path for path in (data_root / "ood").iterdir() if path.is_dir() and path.name != "lateral_chest")
    assert run(["predict", "--json", str(data_root / "dicom"), *map(str, kinds)]) == Exit.PARTLY
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    chest = [prediction for prediction in predictions if "dicom/chest" in prediction["file"]]
    others = [prediction for prediction in predictions if "dicom/chest" not in prediction["file"]]
    assert len(chest) == 5 and all(prediction["finding"] for prediction in chest)
    assert len(others) == 28 and [prediction["file"] for prediction in others if prediction["finding"]] == []
