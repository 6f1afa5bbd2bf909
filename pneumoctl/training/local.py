"""`train` on this machine: model.train as a child process, with the record, limits and receipt of a run on the GPU."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import package
from pneumoctl.gpu.signals import Interrupted, Interrupts
from pneumoctl.plan.transport import inherited
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import artifacts
from pneumoctl.training.outcome import NOT_RESUMABLE, Outcome
from pneumoctl.training.progress import CHECKPOINT_S

POLL_S = 0.5
_END_POLL_S = 0.05
# In addition to what every command inherits: the libraries, the GPU, the cache and the download of initial weights.
# Not TF_ nor NVIDIA_ as a whole: terraform's tokens and NVIDIA's API keys begin so, too.
_PASSED_ON_PREFIXES = (
    *("CUDA_", "XLA_", "JAX_", "KERAS_", "OMP_"),
    *("TF_CPP_", "TF_CUDNN_", "TF_DETERMINISTIC_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_XLA_"),
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PASSED_ON = (
    *("VIRTUAL_ENV", "XDG_CACHE_HOME", "MPLCONFIGDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "SOURCE_DATE_EPOCH"),
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_TF32_OVERRIDE"),
    *_PROXIES,
    *(name.upper() for name in _PROXIES),
)
_WHY = {0: "done", 2: "failed", 3: "collapsed", 4: NOT_RESUMABLE}


def train(stack: Stack, data: str, arguments: Sequence[str], runtime_s: int, stall_s: int, resume: bool) -> int:
    """Train on this machine; returns the exit code of the command, or raises a PneumoError with that code."""
    folder = Path(data).expanduser().resolve()
    now = datetime.now(UTC)
    if resume:
        run = _unfinished(stack)
        run = replace(run, attempt=run.attempt + 1, stall_s=stall_s, max_runtime_s=runtime_s)
    else:
        run = Run(runs.new_id(now), stack.name, runs.HERE, runs.format_time(now), list(arguments), stall_s, runtime_s)
    run = replace(run, deadline=runs.format_time(now + timedelta(seconds=runtime_s)))
    runs.save(stack, run)
    out = runs.results_directory(stack, run.id)
    arguments = [str(folder), "--out", str(out), *run.arguments, *(["--resume"] if resume else [])]
    console.note(f"run {run.id}: {out}")
    with Interrupts(lambda text: console.note("the training is being ended", "yellow")) as interrupts:
        run, ended = _run_child(stack, run, arguments, out, interrupts)
    receipt = Receipt(run.id, int(ended.code), ended.why, ended.message, attempt=run.attempt)
    runs.save(stack, run.with_phase("ended", datetime.now(UTC)))
    runs.save_receipt(stack, receipt)
    return _report(stack, run, receipt, out)


def cancel(stack: Stack, run: Run) -> None:
    """Ask the process of a run on this machine to stop; the pneumoctl that waits for it writes the receipt."""
    if not _is_training(run, runs.results_directory(stack, run.id)):
        runs.save_receipt(
            stack, Receipt(run.id, int(Exit.FAILED), "lost", "its process no longer exists", attempt=run.attempt)
        )
        return
    os.kill(run.pid, signal.SIGTERM)


def _is_training(run: Run, out: Path) -> bool:
    """Whether the process is still this run's: its id may belong to another process now."""
    try:
        return str(out) in psutil.Process(run.pid).cmdline()
    except (psutil.Error, ValueError):
        return False


def _unfinished(stack: Stack) -> Run:
    here = [run for run in runs.load_all(stack) if run.where == runs.HERE]
    if not here:
        raise PneumoError(f"stack {stack.name} has no run on this machine", "pneumoctl train FOLDER", Exit.USAGE)
    run = here[-1]
    if _is_training(run, runs.results_directory(stack, run.id)):
        hint = f"wait for it, or end it: pneumoctl runs cancel {run.id}"
        raise PneumoError(f"run {run.id} is still running (process {run.pid})", hint, Exit.LOCKED)
    return run


def _run_child(
    stack: Stack, run: Run, arguments: Sequence[str], out: Path, interrupts: Interrupts
) -> tuple[Run, Outcome]:
    """Run the training; returns the record and the outcome. The child process never outlives this function."""
    # In a session of its own it does not get the terminal's Ctrl-C: it gets one signal from here.
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "model.train", *arguments], env=_environment(os.environ), start_new_session=True
    )
    try:
        run = replace(run, pid=child.pid).with_phase("begun", datetime.now(UTC))
        runs.save(stack, run)
        try:
            with interrupts.raising():
                return run, _wait(child, run, out)
        except Interrupted as stop:
            with suppress(Interrupted), interrupts.raising():
                _end(child)
            return run, Outcome("interrupted", str(stop), stop.code)
    finally:
        _kill(child)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the child: what training needs, and no credentials or other settings of the caller."""
    names = (*_PASSED_ON, *(name for name in environ if name.startswith(_PASSED_ON_PREFIXES)))
    return {**inherited(environ, *names), "PYTHONPATH": str(package("model").parent)}


def _wait(child: subprocess.Popen[bytes], run: Run, out: Path) -> Outcome:
    deadline, moved, seen = time.monotonic() + run.max_runtime_s, time.monotonic(), 0.0
    while not _has_ended(child):
        time.sleep(POLL_S)
        now, newest = time.monotonic(), _last_written(out)
        if newest != seen:
            seen, moved = newest, now
        if now >= deadline:
            _end(child)
            return Outcome("deadline", "its deadline is reached; its checkpoint is saved", Exit.CAP_REACHED)
        if now - moved >= run.stall_s:
            _end(child)
            return Outcome("stalled", f"nothing was written for {run.stall_s} s")
    code = child.wait()
    if code == 0:
        return Outcome("done", "", Exit.DONE)
    why = _WHY.get(code, "stopped" if code >= 128 else "failed")
    return Outcome(why, f"model.train ended with exit {code}")


def _last_written(out: Path) -> float:
    """When a file in the run's directory was last written."""
    newest = 0.0
    for path in out.rglob("*"):
        with suppress(OSError):
            newest = max(newest, path.stat().st_mtime)
    return newest


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to save a checkpoint and end; wait at most CHECKPOINT_S seconds."""
    os.kill(child.pid, signal.SIGTERM)  # nobody has waited for it, so the id is its own
    deadline = time.monotonic() + CHECKPOINT_S
    while not _has_ended(child) and time.monotonic() < deadline:
        time.sleep(_END_POLL_S)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the child has ended, by the kernel. An interrupt within Popen.poll can leave its lock taken for ever."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and its process group, in which data loaders may run."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _report(stack: Stack, run: Run, receipt: Receipt, out: Path) -> int:
    if receipt.exit:
        again = "to resume it from its checkpoint: pneumoctl train FOLDER --resume"
        if receipt.why == NOT_RESUMABLE:
            again = "to start a new run: pneumoctl train FOLDER"
        hint = f"pneumoctl runs logs {run.id}; {again}"
        details = {"run": run.id, "receipt": asdict(receipt)}
        raise PneumoError(f"run {run.id}: {receipt.why}: {receipt.message}", hint, receipt.exit, **details)
    bundle = artifacts.register_bundle(out)
    console.result({"stack": stack.name, "run": asdict(run), "receipt": asdict(receipt), "bundle": bundle})
    console.text(f"run {run.id}: done")
    if bundle:
        console.text(f"model {bundle['name']} {bundle['version']}: {bundle['folder']}")
    return 0
