"""Run programs in separate processes, forked from one that has loaded TensorFlow: loading it takes seconds."""

import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import sys
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from model import train

ROOT = Path(train.__file__).parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
LOADED = ["pytest", "boto3", "model.host_run", "model.training.run"]
TIMEOUT_S = 1500


def start(program: Path, *words: object, **environment: str) -> "CompletedProcess[str]":
    """Run a Python program with these arguments until it ends; its output is written to files beside it.

    The process that forks has only imported modules: each program initializes TensorFlow itself.
    """
    with mock.patch.dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow"):
        CONTEXT.set_forkserver_preload(LOADED)
        multiprocessing.forkserver.ensure_running()
    command = [str(program), *map(str, words)]
    process = CONTEXT.Process(target=_run, args=(command, {**os.environ, **environment}))
    process.start()
    process.join(TIMEOUT_S)
    code = process.exitcode
    process.kill()  # does nothing to a process that has ended
    texts = [_output(program, name).read_text() for name in ("stdout", "stderr")]
    assert code is not None, f"{program.name} did not end within {TIMEOUT_S} s: {texts}"
    return CompletedProcess(command, code, *texts)


def _output(program: Path, name: str) -> Path:
    return program.with_suffix(f".{name}")


def _run(command: list[str], environment: dict[str, str]) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(_output(Path(command[0]), name), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = command
    runpy.run_path(command[0], run_name="__main__")
