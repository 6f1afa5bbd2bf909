"""`pneumoctl train`: what is refused before anything starts, and the words before and behind the dashes."""

import json
from pathlib import Path
from typing import Any

import pytest

from pneumoctl import installation
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.cli.train import _request
from pneumoctl.errors import Exit
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.gpu_simulation import AT


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu", "--max-runtime", "2 hours"], "is not a duration"),
        (["--gpu", "--max-runtime", "30s"], "a minute at least"),
        (["--gpu", "--max-cost", "0"], "more than 0"),
        (["--gpu", "--stall", "0"], "1 to 1440"),
        (["--gpu", "folder"], "data push"),
        (["--gpu", "--", "--epochs", "x"], "invalid int value"),
        (["--gpu", "--", "--epochs", "0"], "epochs is 0: it must lie in 1..100000"),
        (["--gpu", "--", "--arch", "resnet50", "--epochs", "2", "--head-epochs", "3"], "head_epochs is 3"),
        (["--gpu", "--", "--checkpoint-steps", "0"], "at least 1"),
        (["--gpu", "--", "--weights", "imagenet"], "exists for arch resnet50 only"),
        (["--gpu", "--", "--weights", __file__], "the GPU host has no files of this machine"),
        (["--gpu", "--", "--name", "a b"], "is not a valid model name"),
        (["folder", "--", "--epochs", "0"], "epochs is 0"),
        (["--gpu", "--", "--out", "elsewhere"], "cannot follow --: pneumoctl sets them"),
        (["--gpu", "--", "--resume"], "cannot follow --: pneumoctl sets them"),
        (["--gpu", "--resume", "--", "--epochs", "2"], "its own settings"),
        (["folder", "--detach"], "is for --gpu"),
        (["folder", "--max-cost", "1"], "is for --gpu"),
        (["folder", "--spot"], "requires --gpu"),
        (["--gpu", "--fallback"], "require --spot"),
        (["--gpu", "--spot-retries", "2"], "require --spot"),
        (["--gpu", "--spot", "--spot-retries", "-1"], "0 to 100"),
        ([], "no data set is given"),
    ],
)
def test_what_is_refused_before_anything_starts(
    stack: Stack, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pneumoctl(["train", "--stack", "t", *words]) == Exit.USAGE
    assert message in capsys.readouterr().err
    assert runs.load_all(stack) == []


def test_a_folder_that_does_not_exist_is_named_before_a_missing_package(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    assert pneumoctl(["train", "--stack", "t", "none"]) == Exit.USAGE
    assert "error: there is no folder none" in capsys.readouterr().err and runs.load_all(stack) == []


@pytest.mark.parametrize(
    ("files", "words", "message"),
    [
        ([], ["films"], "contains no pictures; expected train/NORMAL"),
        (["a/b.png"], ["films", "--resume"], "contains no pictures; expected train/NORMAL"),
        (["train/NORMAL/a.png", "test/NORMAL/b.png"], ["films"], "both NORMAL and PNEUMONIA"),
        (["train/NORMAL/a.png", "train/PNEUMONIA/b.png"], ["films"], "two patients of each class"),
        (["train/Sick/a.png"], ["films"], "unknown label"),
        (["words.txt"], ["films/words.txt"], "is not a folder, .npz or .csv"),
        (["list.csv"], ["films/list.csv"], "no column file, label, split"),
        ([], ["films", "--", "--weights", "none.h5"], "no file none.h5"),
        ([], ["films", "--", "--ages", "9", "1"], "--ages"),
    ],
)
def test_a_folder_that_is_no_data_set_is_a_usage_error_without_a_run(
    stack: Stack, files: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("films").mkdir()
    for file in files:
        Path("films", file).parent.mkdir(parents=True, exist_ok=True)
        Path("films", file).write_bytes(b"x")
    assert pneumoctl(["train", "--stack", "t", *words]) == Exit.USAGE
    error = capsys.readouterr().err
    assert message in error and "to resume it" not in error and runs.load_all(stack) == []


def test_a_folder_whose_name_does_not_fit_the_model_is_refused_before_the_training(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train/NORMAL/a", "train/NORMAL/b", "train/PNEUMONIA/c", "train/PNEUMONIA/d"):
        Path("my films", name).parent.mkdir(parents=True, exist_ok=True)
        Path("my films", f"{name}.png").write_bytes(b"x")
    assert pneumoctl(["train", "--stack", "t", "my films"]) == Exit.USAGE
    error = capsys.readouterr().err
    assert "'dag-my films' is not a valid model name" in error and "-- --name NAME" in error
    assert runs.load_all(stack) == []


@pytest.mark.parametrize("words", [["."], [".", "--resume"]])
def test_without_the_packages_for_training_nothing_is_recorded(
    stack: Stack, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda name: None if name in ("tensorflow", "tf2onnx") else object())
    assert pneumoctl(["train", "--stack", "t", *words, "--json"]) == Exit.PREFLIGHT
    error = json.loads(capsys.readouterr().out)["error"]
    assert "tensorflow, tf2onnx" in error["message"] and "[train]" in error["hint"]
    assert "checkpoint" not in error["hint"] and runs.load_all(stack) == []


def test_words_before_and_behind_the_dashes() -> None:
    request = _request(["data", "--epochs", "2"], False, None, None, 30, False, False)
    assert (request.data_or_run, request.arguments) == ("data", ("--epochs", "2"))
    request = _request(["--epochs", "2"], True, "90m", 2.5, 30, False, True)
    assert (request.data_or_run, request.arguments, request.max_runtime_s, request.stall_s) == (
        "",
        ("--epochs", "2"),
        5400,
        1800,
    )
    assert request.name_arguments("xrays") == ("--name", "dag-xrays")
    assert _request(["--arch", "resnet50"], True, None, None, 30, False, False).name_arguments("x") == (
        "--name",
        "resnet50-x",
    )
    assert _request(["--name", "mine"], True, None, None, 30, False, False).name_arguments("x") == ()
    assert _request([], True, None, None, 30, False, False).max_runtime_s == 4 * 3600


def ordered(**more: Any) -> Run:
    return Run("20261123-060000-a1b2", "t", "gpu", runs.format_time(AT), [], 1800, 0, type="g5.xlarge", **more)
