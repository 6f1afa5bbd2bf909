"""A run of `pneumoctl train` on this machine: its record, its limits, how it is ended and resumed."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack
from pneumoctl.training import artifacts, local

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
if what == "other recipe":
    sys.exit(4)
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
@pytest.mark.parametrize(
    ("data", "why", "advice"),
    [
        ("crash", "failed", "to resume it from its checkpoint: pneumoctl train FOLDER --resume"),
        ("other recipe", "not resumable", "to start a new run: pneumoctl train FOLDER"),
    ],
)
def test_nobody_is_told_to_resume_what_cannot_be_resumed(stack: Stack, data: str, why: str, advice: str) -> None:
    with pytest.raises(PneumoError) as caught:
        here(stack, data)
    run, receipt = last(stack)
    assert receipt.why == why and caught.value.hint == f"pneumoctl runs logs {run.id}; {advice}"


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
