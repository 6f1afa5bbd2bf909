"""A terraform without a provider, a process that applies it, and a working copy."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.working_dir import WorkingCopy
from tests.pneumoctl import tiny_terraform
from tests.pneumoctl.aws.terraform.apply_process import APPLY, output, runs, until
from tests.pneumoctl.tiny_terraform import Tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    terraform = tiny_terraform.make(tmp_path, monkeypatch)
    yield terraform
    run = runs(terraform).last()
    if run and runs(terraform).is_running():
        os.killpg(run.pid, signal.SIGKILL)


@pytest.fixture
def start(tiny: Tiny) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    begun = []

    def begin() -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", APPLY, str(tiny.terraform.directory), str(tiny.terraform.log)]
        environment = {**tiny.terraform.environment, "PYTHONPATH": str(Path(__file__).parents[4])}
        begun.append(subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True))
        until(lambda: '"apply_start"' in output(tiny) and runs(tiny).last())  # on a busy machine it is recorded later
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate()


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy(tmp_path / "copy")
