"""An interrupt of pneumoctl: terraform finishes what it started, and is killed only if it hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws.terraform import process as terraform_process
from pneumoctl.aws.terraform.process import Runs, TerraformRun
from tests.pneumoctl.aws.terraform.apply_process import APPLY, output, runs, until
from tests.pneumoctl.tiny_terraform import Tiny


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_lets_terraform_finish_started_operations_only(
    tiny: Tiny, start: Callable[[], "subprocess.Popen[str]"], number: signal.Signals
) -> None:
    tiny.prepare(*"abcdefghijkl", seconds=2)  # ten at once, then two
    ours = start()
    ours.send_signal(number)
    stdout, _ = ours.communicate(timeout=600)
    assert ours.returncode == 128 + number
    assert stdout.count("note interrupted: terraform finishes") == 1
    assert not runs(tiny).is_running()
    assert "Interrupt received" in output(tiny) and "Two interrupts" not in output(tiny)
    assert 0 < len(tiny.addresses()) < 12
    assert tiny.terraform.suspect
    tiny.prepare(*"abcdefghijkl", seconds=0)
    tiny.apply()
    assert len(tiny.addresses()) == 12 and not tiny.terraform.suspect


def test_an_interrupt_before_terraform_starts_is_not_lost(tiny: Tiny) -> None:
    tiny.prepare(*"abcdefghijkl", seconds=1)
    argv = [sys.executable, "-c", APPLY, str(tiny.terraform.directory), str(tiny.terraform.log)]
    environment = {**tiny.terraform.environment, "PYTHONPATH": str(Path(__file__).parents[4])}
    ours = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
    until(lambda: (run := runs(tiny).last()) and "apply" in run.command)
    ours.send_signal(signal.SIGINT)
    stdout, _ = ours.communicate(timeout=600)
    assert ours.returncode == 130, stdout
    assert not runs(tiny).is_running()
    # In its first hundredths of a second terraform does not listen yet, and dies of the signal having begun nothing.
    assert "Interrupt received" in output(tiny) or '"apply_start"' not in output(tiny)
    assert len(tiny.addresses()) < 12


@pytest.fixture
def run_python(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a Python program with the folder as its argument. It and its terraform are killed after the test."""
    children = []

    def start(program: str, **environment: str) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", program, str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), **environment}
        quiet: dict[str, Any] = {"env": env, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        children.append(subprocess.Popen(argv, **quiet))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()
    run = Runs(tmp_path).last()
    if run and Runs(tmp_path).is_running():
        os.kill(run.pid, signal.SIGKILL)


# Runs a stand-in for a terraform that waits for AWS: it reports each interrupt and ends once the file `end` exists.
STUBBORN = """
import sys, time
from pathlib import Path
from pneumoctl.aws.terraform.process import Runs, TerraformRun
child = '''
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: print("Interrupt received", flush=True))
print("ready", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.1)
'''
end = str(Path(sys.argv[1], "end"))
runs, note = Runs(Path(sys.argv[1])), lambda text: print(text, flush=True)
runs.attach(note, note) or runs.run([sys.executable, "-c", child, end], Path("/"), {}, note, note)
"""


def test_further_interrupts_do_not_reach_terraform(
    tmp_path: Path, run_python: Callable[..., "subprocess.Popen[str]"]
) -> None:
    output_file = tmp_path / "output"
    first = run_python(STUBBORN)
    until(lambda: output_file.exists() and "ready" in output_file.read_text())
    first.send_signal(signal.SIGINT)
    until(lambda: "Interrupt received" in output_file.read_text())
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=600)
    run = Runs(tmp_path).last()
    assert run is not None and run.asked_to_end and Runs(tmp_path).is_running()
    assert f"terraform (process {run.pid}) goes on by itself" in output
    second = run_python(STUBBORN)
    assert second.stdout is not None and "is still running" in second.stdout.readline()
    second.send_signal(signal.SIGINT)
    (tmp_path / "end").touch()
    second.communicate(timeout=600)  # it waits for the end
    assert output_file.read_text().count("Interrupt received") == 1
    assert not Runs(tmp_path).is_running()


# A stand-in for a terraform that loads its provider until the file `begin` exists. Before, an interrupt only makes it
# report that it stops.
SLOW_TO_START = """#!{python}
import os, signal, sys, time
def heard(*_):
    print("too early" if not begun else "Interrupt received", flush=True)
    sys.exit(1) if begun else None
begun = False
signal.signal(signal.SIGINT, heard)
print("ready", flush=True)
while not os.path.exists({begin!r}): time.sleep(0.1)
begun = True
print('{{"type":"apply_start"}}', flush=True)
time.sleep(600)
"""
FOLLOW = """
import os, sys
from pathlib import Path
from pneumoctl.aws.terraform.process import Runs, TerraformRun
note = lambda text: print(text, flush=True)
Runs(Path(sys.argv[1])).run(["terraform", "apply"], Path("/"), os.environ, note, note)
"""


@pytest.mark.parametrize(("times", "heard"), [(1, "Interrupt received"), (2, "too early")])
def test_the_first_interrupt_waits_for_terraform_and_the_second_does_not(
    tmp_path: Path, run_python: Callable[..., "subprocess.Popen[str]"], times: int, heard: str
) -> None:
    ours = slow_to_start(tmp_path, run_python)
    assert ours.stdout is not None
    ours.send_signal(signal.SIGINT)
    assert "interrupted" in ours.stdout.readline()
    if times == 1:
        (tmp_path / "begin").touch()
    else:
        ours.send_signal(signal.SIGINT)
    ours.communicate(timeout=600)
    until(lambda: heard in (tmp_path / "output").read_text())
    run = Runs(tmp_path).last()
    assert run is not None and run.asked_to_end


def test_an_interrupt_waits_for_terraform_although_the_terminal_is_closed(
    tmp_path: Path, run_python: Callable[..., "subprocess.Popen[str]"]
) -> None:
    ours = slow_to_start(tmp_path, run_python)
    assert ours.stdout is not None
    ours.stdout.close()
    ours.stdout = None
    ours.send_signal(signal.SIGINT)
    time.sleep(0.3)  # an interrupt that does not wait arrives meanwhile
    (tmp_path / "begin").touch()
    until(lambda: "Interrupt received" in (tmp_path / "output").read_text())
    assert "too early" not in (tmp_path / "output").read_text()


def slow_to_start(folder: Path, run_python: Callable[..., "subprocess.Popen[str]"]) -> "subprocess.Popen[str]":
    """A process that follows the stand-in, which is ready."""
    (folder / "terraform").write_text(SLOW_TO_START.format(python=sys.executable, begin=str(folder / "begin")))
    (folder / "terraform").chmod(0o700)
    ours = run_python(FOLLOW, PATH=str(folder))
    assert ours.stdout is not None and ours.stdout.readline() == "ready\n"
    return ours


def test_an_interrupt_between_the_start_and_its_record_waits_for_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise terraform would apply the whole plan after Ctrl-C."""
    runs, real = Runs(tmp_path), Runs._save

    def interrupted(self: Runs, run: TerraformRun) -> None:
        if not run.asked_to_end:
            signal.raise_signal(signal.SIGINT)
        real(self, run)

    monkeypatch.setattr(Runs, "_save", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        runs.run(["sleep", "30"], tmp_path, os.environ, print, print)
    run = runs.last()
    assert run is not None and run.asked_to_end
    assert not runs.is_running()
    assert signal.getsignal(signal.SIGTERM) is before


HANGS = """
import signal, time
count = 0
def again(number, frame):
    global count
    count += 1
    if count == 2: raise SystemExit(1)
signal.signal(signal.SIGINT, again)
print("set out", flush=True)
while True: time.sleep(0.05)
"""


def test_a_hanging_terraform_is_killed_after_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform_process, "SILENT_S", 1.0)
    notes: list[str] = []

    def hear(line: str) -> None:
        if line == "set out":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Runs(tmp_path).run([sys.executable, "-c", HANGS], tmp_path, os.environ, hear, notes.append)
    assert "hangs" in notes[-1] and not Runs(tmp_path).is_running()


def test_the_end_of_terraform_is_seen_without_asking_the_child_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt within Popen.poll can leave its lock taken: every later call then answers that the child runs."""
    monkeypatch.setattr(subprocess.Popen, "poll", lambda child: None)
    heard: list[str] = []
    assert Runs(tmp_path).run(["sh", "-c", "echo done; exit 3"], Path("/"), {}, heard.append, heard.append) == 3
    assert heard == ["done"]
