"""`pneumoctl predict` with another operating point or threshold: the words follow it, and nothing is mixed up."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit


def test_a_threshold_by_hand_is_used_with_a_warning(
    predict: Any, ward: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(ward / "a-ill.png", "--json") == Exit.DONE
    (default,) = json.loads(capsys.readouterr().out)["predictions"]
    assert predict(ward / "a-ill.png", "--json", "--threshold", "0.9999") == Exit.DONE
    out, err = capsys.readouterr()
    (document,) = json.loads(out)["predictions"]
    assert (default["finding"], document["finding"], document["threshold"]) == ("pneumonia", "no pneumonia", 0.9999)
    assert document["operating_point"] is None and document["id"] != default["id"]
    assert "threshold_by_hand" in [each["code"] for each in document["cautions"]]
    assert "the threshold 0.9999 was given by hand" in err
    assert predict(ward / "a-ill.png", "--threshold", "0.9999") == Exit.DONE
    out, err = capsys.readouterr()
    assert "below the threshold" in out and "was not measured" in err
    assert "caution threshold_by_hand: The threshold was given by hand" in out


def test_the_threshold_of_an_operating_point_is_that_point_without_a_warning(
    predict: Any, ward: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(ward / "b-well.png", "--threshold", "0.5") == Exit.DONE
    out, err = capsys.readouterr()
    assert "below the balanced operating point: sensitivity .90" in out and "threshold_by_hand" not in out
    assert err == ""


@pytest.mark.parametrize("words", [("--threshold", "0"), ("--threshold", "1"), ("--threshold", "nan")])
def test_an_impossible_threshold_is_a_usage_error(predict: Any, ward: Path, words: tuple[str, str]) -> None:
    assert predict(ward, *words) == Exit.USAGE
    assert predict(ward, "--threshold", "0.3", "--operating-point", "balanced") == Exit.USAGE


def test_an_operating_point_is_chosen_by_name(predict: Any, ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(ward / "a-ill.png", "--csv", "--operating-point", "balanced") == Exit.DONE
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert (row["operating_point"], row["threshold"]) == ("balanced", "0.5")
    assert predict(ward / "a-ill.png", "--operating-point", "screening") == Exit.USAGE
    assert "no operating point 'screening'; it has: balanced" in capsys.readouterr().err
    assert predict(ward / "a-ill.png", "--operating-point", "") == Exit.USAGE


def test_a_resumed_run_does_not_reuse_another_threshold(
    predict: Any, ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for words in ((), ("--threshold", "0.9999"), (), ("--threshold", "0.9998")):
        predict(ward / "a-ill.png", "--json", "--resume", tmp_path / "results.jsonl", *words)
        found += [each["threshold"] for each in json.loads(capsys.readouterr().out)["predictions"]]
    assert found == [0.5, 0.9999, 0.5, 0.9998]


@pytest.mark.parametrize(
    "option", ["--model", "--explain", "--operating-point=balanced", "--operating-point=", "--threshold=0.3"]
)
def test_remote_excludes_what_needs_the_local_model(ward: Path, option: str) -> None:
    value = [] if "=" in option else [str(ward)]
    assert run(["predict", "--remote", option, *value, str(ward)]) == Exit.USAGE
