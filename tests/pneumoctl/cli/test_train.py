"""`pneumoctl train` and `runs`: refused requests, a complete run on this machine, and the output of `runs`."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pneumoctl import installation
from pneumoctl.aws import prices
from pneumoctl.aws.prices import Prices
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.cli.train import _request
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack, find
from pneumoctl.training import artifacts, local
from pneumoctl.training import order as on_aws
from pneumoctl.training.request import TrainingRequest
from tests.pneumoctl.gpu_simulation import AT, FakeAws, GpuSimulation

REQUEST = TrainingRequest("", (), 7200, None, 1800, resume=False, detach=False)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return find("t")


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


def priced(monkeypatch: pytest.MonkeyPatch, usd: float | None) -> Any:
    price_list = {} if usd is None else {"g5.xlarge": usd}
    listed = Prices("eu-west-1", "2026-11-23", "test", price_list)
    monkeypatch.setattr(prices, "current", lambda *_: listed)
    return FakeAws(GpuSimulation())


def ordered(**more: Any) -> Run:
    return Run("20261123-060000-a1b2", "t", "gpu", runs.format_time(AT), [], 1800, 0, type="g5.xlarge", **more)


def test_the_deadline_is_whichever_of_time_and_cost_is_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = priced(monkeypatch, 1.2)
    by_time = on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=100.0), AT)
    assert (by_time.max_runtime_s, by_time.deadline) == (7200, "2026-11-23T08:00:00+00:00")
    by_cost = on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=0.6), AT)
    assert (by_cost.max_runtime_s, by_cost.deadline) == (1800, "2026-11-23T06:30:00+00:00")
    with pytest.raises(PneumoError, match="less than a minute") as caught:
        on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=0.01), AT)
    assert caught.value.code == Exit.PREFLIGHT


def test_an_unknown_price_refuses_a_cost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = priced(monkeypatch, None)
    assert on_aws._with_limits(aws, ordered(), REQUEST, AT).usd_per_hour is None
    with pytest.raises(PneumoError, match="is unknown") as caught:
        on_aws._with_limits(aws, ordered(), replace(REQUEST, max_cost=5.0), AT)
    assert caught.value.code == Exit.PREFLIGHT


# model.train is replaced by a script that behaves as its arguments say.

CHILD = """
import json, os, pathlib, signal, sys, time
data, _, out, *rest = sys.argv[1:]
out = pathlib.Path(out)
out.mkdir(parents=True, exist_ok=True)
(out / "environment.json").write_text(json.dumps(dict(os.environ)))
log = (out / "train.log").open("a")
log.write("began " + " ".join(rest) + "\\n")
log.flush()
def stop(number, _):
    (out / "checkpoint").write_text("kept")
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
what = pathlib.Path(data).name
if what == "crash":
    sys.exit(1)
if what == "ignores signals":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while what != "quick":
    if what == "busy":
        log.write("step\\n"); log.flush()
    time.sleep(0.05)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / "code" / "model"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "train.py").write_text(CHILD)
    monkeypatch.setattr(local, "package", lambda _: package)
    monkeypatch.setattr(local, "POLL_S", 0.05)
    monkeypatch.setattr(local, "CHECKPOINT_S", 5.0)
    monkeypatch.setattr(artifacts, "register_bundle", lambda _: None)
    yield None


def here(stack: Stack, data: str, runtime: int = 60, stall: int = 60, resume: bool = False) -> int:
    return local.train(stack, data, ["--epochs", "2"], runtime, stall, resume)


def last(stack: Stack) -> tuple[Run, Receipt]:
    run = runs.load_all(stack)[-1]
    receipt = runs.final_receipt(stack, run)
    assert receipt
    return run, receipt


@pytest.mark.usefixtures("child")
def test_a_run_here_has_a_record_and_a_receipt(stack: Stack) -> None:
    assert here(stack, "quick") == 0
    run, receipt = last(stack)
    assert (receipt.exit, receipt.why, run.where) == (0, "done", "here")
    assert "began --epochs 2" in (runs.results_directory(stack, run.id) / "train.log").read_text()
    assert [phase for phase, _ in run.phases] == ["begun", "ended"]


@pytest.mark.usefixtures("child")
def test_the_child_gets_the_environment_that_training_needs_and_nothing_else(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {
        "LC_ALL": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "0",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "XLA_FLAGS": "--xla_dump_to=/nowhere",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "KERAS_BACKEND": "jax",
        "OMP_NUM_THREADS": "2",
        "LD_LIBRARY_PATH": "/nowhere",
        "VIRTUAL_ENV": "/nowhere",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "no_proxy": "localhost",
        "SOURCE_DATE_EPOCH": "0",
    }
    others = ("AWS_SECRET_ACCESS_KEY", "TF_TOKEN_app_terraform_io", "TF_VAR_password", "NVIDIA_API_KEY", "TOKEN")
    others += ("PNEUMO_DATA", "GUNICORN_CMD_ARGS", "PYTHONWARNINGS", "PYTHONSTARTUP")
    for name, value in {**needed, **dict.fromkeys(others, "of-the-caller")}.items():
        monkeypatch.setenv(name, value)
    assert here(stack, "quick") == 0
    folder = runs.results_directory(stack, last(stack)[0].id)
    environment = json.loads((folder / "environment.json").read_text())
    assert needed.items() <= environment.items()
    assert {name: environment.get(name) for name in ("PATH", "HOME")} == {
        name: os.environ.get(name) for name in ("PATH", "HOME")
    }
    assert not environment.keys() & set(others)
    assert environment["PYTHONPATH"].endswith("code")


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize(
    ("data", "runtime", "stall", "code", "why"),
    [("crash", 60, 60, 8, "failed"), ("busy", 1, 60, 9, "deadline"), ("still", 60, 1, 8, "stalled")],
)
def test_a_crash_and_the_caps(stack: Stack, data: str, runtime: int, stall: int, code: int, why: str) -> None:
    with pytest.raises(PneumoError) as caught:
        here(stack, data, runtime, stall)
    run, receipt = last(stack)
    assert (caught.value.code, receipt.exit, receipt.why) == (code, code, why)
    has_checkpoint = (runs.results_directory(stack, run.id) / "checkpoint").exists()
    assert has_checkpoint is (why != "failed")
    assert not local._is_training(run, runs.results_directory(stack, run.id))


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_a_checkpoint_and_ends_it(stack: Stack, number: int) -> None:
    threading.Thread(target=_once_begun, args=(stack, lambda _: os.kill(os.getpid(), number))).start()
    with pytest.raises(PneumoError) as caught:
        here(stack, "still")
    run, receipt = last(stack)
    assert caught.value.code == receipt.exit == 128 + number
    assert (runs.results_directory(stack, run.id) / "checkpoint").exists()


@pytest.mark.usefixtures("child")
def test_a_training_that_ignores_signals_is_killed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CHECKPOINT_S", 0.2)
    with pytest.raises(PneumoError):
        here(stack, "ignores signals", runtime=1)
    run, _ = last(stack)
    assert not local._is_training(run, runs.results_directory(stack, run.id))


@pytest.mark.usefixtures("child")
def test_cancel_and_resume(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []

    def cancel(_: Run) -> None:
        codes.append(pneumoctl(["runs", "cancel", "--stack", "t"]))

    threading.Thread(target=_once_begun, args=(stack, cancel)).start()
    with pytest.raises(PneumoError):
        here(stack, "still")
    assert codes == [0] and last(stack)[1].why == "stopped"
    assert f"asked run {last(stack)[0].id} to save a checkpoint and stop" in capsys.readouterr().out
    assert here(stack, "quick", resume=True) == 0
    run, receipt = last(stack)
    assert receipt.why == "done" and receipt.attempt == 2 and receipt.earlier[0]["why"] == "stopped"
    assert "--resume" in (runs.results_directory(stack, run.id) / "train.log").read_text()
    assert len(runs.load_all(stack)) == 1


@pytest.mark.usefixtures("child")
def test_a_running_training_is_not_resumed(stack: Stack) -> None:
    refused: list[PneumoError] = []

    def resume(run: Run) -> None:
        with pytest.raises(PneumoError) as caught:
            here(stack, "quick", resume=True)
        refused.append(caught.value)
        local.cancel(stack, run)

    threading.Thread(target=_once_begun, args=(stack, resume)).start()
    with pytest.raises(PneumoError):
        here(stack, "still")
    run, receipt = last(stack)
    assert [error.code for error in refused] == [Exit.LOCKED] and f"runs cancel {run.id}" in refused[0].hint
    assert receipt.why == "stopped" and receipt.attempt == 1


def _once_begun(stack: Stack, act: Any) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        for run in runs.load_all(stack):
            if (runs.results_directory(stack, run.id) / "train.log").exists() and run.phase == "begun":
                time.sleep(0.2)
                act(run)
                return
        time.sleep(0.02)


def test_runs_are_listed_and_shown_without_a_stack(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    run = ordered(instance="i-1", usd_per_hour=1.0).with_phase("armed", datetime.now(UTC))
    runs.save(stack, run)
    assert pneumoctl(["runs", "ls", "--stack", "t"]) == 0
    assert "open: armed" in capsys.readouterr().out
    runs.save_receipt(
        stack, Receipt(run.id, 9, "deadline", "its deadline is reached", "host timer", billed_s=3600, usd=1.0)
    )
    (runs.results_directory(stack, run.id)).mkdir(parents=True)
    (runs.results_directory(stack, run.id) / "train.log").write_text("one\ntwo\nthree\n")
    assert pneumoctl(["runs", "ls", "--stack", "t"]) == 0
    output = capsys.readouterr().out
    assert "deadline" in output and "3600 s" in output and "$1.00" in output and "host timer" in output
    assert pneumoctl(["runs", "show", "--stack", "t", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["receipt"]["billed_s"] == 3600 and document["files"] == ["train.log"]
    assert pneumoctl(["runs", "logs", run.id, "-n", "2", "--stack", "t"]) == 0
    assert capsys.readouterr().out == "two\nthree\n"
    assert pneumoctl(["runs", "cancel", run.id, "--stack", "t"]) == 0
    assert pneumoctl(["runs", "show", "20261123-060000-ffff", "--stack", "t"]) == Exit.USAGE
