"""`train` without a GPU host: model.train as a child here, with the same run record, caps, stall stop and receipt."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import package
from pneumoctl.gpu.signals import Interrupted, Interrupts
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import artifacts
from pneumoctl.training.outcome import Ended

CHECKPOINT_S = 100.0  # for the child to save one and end
PAUSE_S = 0.5
_WHY = {0: "done", 2: "failed", 3: "collapsed"}


def train(stack: Stack, data: str, arguments: Sequence[str], runtime_s: int, stall_s: int, resume: bool) -> int:
    """Train, watch, close; the exit code is that of the command."""
    folder = Path(data).expanduser().resolve()
    now = datetime.now(UTC)
    if resume:
        run = _unfinished(stack)
        run = replace(run, attempt=run.attempt + 1, stall_s=stall_s, max_runtime_s=runtime_s)
    else:
        run = Run(runs.new_id(now), stack.name, runs.HERE, runs.stamp(now), list(arguments), stall_s, runtime_s)
    run = replace(run, deadline=runs.stamp(now + timedelta(seconds=runtime_s)))
    runs.save(stack, run)
    out = runs.results(stack, run.id)
    words = [str(folder), "--out", str(out), *run.arguments, *(["--resume"] if resume else [])]
    console.note(f"run {run.id}: {out}")
    with Interrupts(lambda text: console.note("it is being ended", "yellow")) as interrupts:
        run, ended = _watched(stack, run, words, out, interrupts)
    receipt = Receipt(run.id, int(ended.code), ended.why, ended.message, attempt=run.attempt)
    runs.save(stack, run.reached("ended", datetime.now(UTC)))
    runs.close(stack, receipt)
    return _told(stack, run, receipt, out)


def cancel(stack: Stack, run: Run) -> None:
    """Ask the process of a run here to stop; whoever waits for it writes the receipt."""
    if not _trains(run, runs.results(stack, run.id)):
        runs.close(stack, Receipt(run.id, int(Exit.FAILED), "lost", "its process is gone", attempt=run.attempt))
        return
    os.kill(run.pid, signal.SIGTERM)


def _trains(run: Run, out: Path) -> bool:
    """Whether that process is still this run's, and no other that has its number now."""
    try:
        return str(out) in psutil.Process(run.pid).cmdline()
    except (psutil.Error, ValueError):
        return False


def _unfinished(stack: Stack) -> Run:
    found = [one for one in runs.every(stack) if one.where == runs.HERE]
    if not found:
        raise PneumoError(f"stack {stack.name} has no run of this machine", "pneumoctl train FOLDER", Exit.USAGE)
    if _trains(found[-1], runs.results(stack, found[-1].id)):
        hint = f"wait for it, or end it: pneumoctl runs cancel {found[-1].id}"
        raise PneumoError(f"run {found[-1].id} goes on already (process {found[-1].pid})", hint, Exit.LOCKED)
    return found[-1]


def _watched(stack: Stack, run: Run, words: Sequence[str], out: Path, interrupts: Interrupts) -> tuple[Run, Ended]:
    """The run with its process, and how that ended; no way out leaves it running."""
    environment = {**os.environ, "PYTHONPATH": str(package("model").parent)}
    # A session of its own: the terminal's Ctrl-C is ours to pass on, once.
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "model.train", *words], env=environment, start_new_session=True
    )
    try:
        run = replace(run, pid=child.pid).reached("begun", datetime.now(UTC))
        runs.save(stack, run)
        try:
            with interrupts.raising():
                return run, _waited(child, run, out)
        except Interrupted as stop:
            with suppress(Interrupted), interrupts.raising():
                _end(child)
            return run, Ended("interrupted", str(stop), stop.code)
    finally:
        _kill(child)


def _waited(child: "subprocess.Popen[bytes]", run: Run, out: Path) -> Ended:
    deadline, moved, seen = time.monotonic() + run.max_runtime_s, time.monotonic(), 0.0
    while child.poll() is None:
        time.sleep(PAUSE_S)
        now, newest = time.monotonic(), _newest(out)
        if newest != seen:
            seen, moved = newest, now
        if now >= deadline:
            _end(child)
            return Ended("deadline", "its time is up; the checkpoint is kept", Exit.CAP_REACHED)
        if now - moved >= run.stall_s:
            _end(child)
            return Ended("stalled", f"nothing was written for {run.stall_s} s")
    code = child.returncode
    if code == 0:
        return Ended("done", "", Exit.DONE)
    why = _WHY.get(code, "stopped" if code >= 128 else "failed")
    return Ended(why, f"model.train ended with exit {code}")


def _newest(out: Path) -> float:
    """When anything in the run's directory was last written."""
    newest = 0.0
    for path in out.rglob("*"):
        with suppress(OSError):
            newest = max(newest, path.stat().st_mtime)
    return newest


def _end(child: "subprocess.Popen[bytes]") -> None:
    """With a checkpoint, if it answers."""
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(CHECKPOINT_S)


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """Its whole group: workers that load data, too."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _told(stack: Stack, run: Run, receipt: Receipt, out: Path) -> int:
    if receipt.exit:
        hint = f"pneumoctl runs logs {run.id}; to go on from its checkpoint: pneumoctl train FOLDER --resume"
        told = {"run": run.id, "receipt": asdict(receipt)}
        raise PneumoError(f"run {run.id}: {receipt.why}: {receipt.message}", hint, receipt.exit, **told)
    bundle = artifacts.sound(out)
    console.result({"stack": stack.name, "run": asdict(run), "receipt": asdict(receipt), "bundle": bundle})
    console.text(f"run {run.id}: done")
    if bundle:
        console.text(f"model {bundle['name']} {bundle['version']}: {bundle['folder']}")
    return 0
