"""Faults in every phase of a GPU run: the host is off in time; exit code, checkpoint and receipt are correct.

`make test-all` applies a few pairs of fault and phase, always the same ones unless PNEUMO_SWEEP_SEED is set.
`make fault-table` (PNEUMO_SWEEP=all) applies all pairs and writes the results to the table in docs/training.md.
"""

import hashlib
import json
import math
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.training.checkpoint import ARRAYS, MANIFEST, STATE
from tests.lab.faults import training_faults as faults
from tests.lab.faults import training_table
from tests.lab.faults.paused_run import BRIEF, LONG, PHASES, SHORT, PausedRun
from tests.lab.faults.training_faults import Injection
from tests.lab.machine.paths import OPERATOR
from tests.lab.training.host import OFF_S, TrainingHost

BUDGET_S, USUAL_S = 170, 55  # of all chosen faults; of one fault
ALWAYS = ("Ctrl-C", "training")
USUAL_SEED = 6  # fixed, so that the result of a test run does not depend on chance
SHORT_STALL = ("--stall", "3")  # minutes: longer than the import of TensorFlow on a busy machine
END_S = 1200.0  # time limit for pneumoctl to end, generous for a busy machine
KILLED = -signal.SIGKILL
ALL_PAIRS = os.environ.get("PNEUMO_SWEEP") == "all"


@dataclass(frozen=True)
class Fault:
    """A fault, and the expected exit codes by phase.

    epochs: SHORT if the run continues and ends by itself. early: the fault exists before the run starts. cost: duration
    in seconds, if it is much longer than usual. requester: who asks the API to stop the host. limits: options of
    `train` that end the run; the default limits are not reached on a slow machine either.
    """

    inject: Injection
    codes: Mapping[str, set[int]]
    epochs: int = LONG
    boot_script: str = ""
    early: bool = False
    cost: int = USUAL_S
    requester: str = "client"
    limits: tuple[str, ...] = ()


def codes(phases: str, *codes: int) -> dict[str, set[int]]:
    return {phase: set(codes) for phase in phases.split(", ")}


FAULTS = {
    "SIGKILL": Fault(
        faults.send_signals(signal.SIGKILL), codes("armed, data, training, upload, stopping", KILLED), epochs=SHORT
    ),
    "SIGKILL, nobody comes back": Fault(
        faults.send_signals(signal.SIGKILL),
        codes("booting, making ready", KILLED),
        cost=270,
        limits=("--max-runtime", "4m"),  # the run has not started: its deadline ends it
    ),
    "SIGTERM": Fault(
        faults.send_signals(signal.SIGTERM, group=False),
        codes("armed, booting, making ready, data, training, upload", 143),
    ),
    "SIGHUP": Fault(faults.send_signals(signal.SIGHUP), codes("booting, proof, training", 129)),
    "Ctrl-C": Fault(
        faults.send_signals(signal.SIGINT), codes("armed, booting, making ready, data, proof, training, upload", 130)
    ),
    "Ctrl-C twice": Fault(faults.send_signals(signal.SIGINT, signal.SIGINT), codes("data, training, upload", 130)),
    "network away for 40 s": Fault(
        faults.disconnect_for_a_while, codes("booting, making ready", 0, 8) | codes("training, upload", 0), epochs=SHORT
    ),
    "network away for good": Fault(faults.disconnect, codes("making ready, training", KILLED), epochs=SHORT, cost=300),
    "host dies": Fault(faults.kill_host, codes("making ready, data, proof, training, upload", 8), cost=120),
    "host dies while it boots": Fault(
        faults.kill_host, codes("booting", 8, 9), cost=270, limits=("--max-runtime", "4m")
    ),
    "run hangs": Fault(
        faults.signal_run(signal.SIGSTOP), codes("data, proof, training, upload", 8), cost=240, limits=SHORT_STALL
    ),
    "run killed": Fault(faults.signal_run(signal.SIGKILL), codes("data, proof, training, upload", 8)),
    "out of memory": Fault(faults.short_of_memory, codes("data, training", 8)),
    "disk full": Fault(
        faults.fill_disk, codes("making ready, data, training", 8) | codes("upload", 0, 8), cost=90, limits=SHORT_STALL
    ),
    "no GPU": Fault(faults.no_injection, codes("proof", 8), boot_script=faults.NO_GPU, early=True),
    "S3 refuses writes": Fault(faults.refuse_writes(kind="denied"), codes("data, training, upload", 8), epochs=SHORT),
    "S3 throttles": Fault(faults.refuse_writes(kind="throttled", times=12), codes("training, upload", 0), epochs=SHORT),
    "no schedule allowed": Fault(faults.deny_schedule, codes("armed", 4), early=True),
    "API throttles the stop": Fault(faults.fail_at_stop("throttled", times=9), codes("stopping", 130)),
    "API down for a while": Fault(faults.fail_at_stop("down", times=9), codes("stopping", 130), cost=90),
    "API down for good": Fault(faults.fail_at_stop("down"), codes("stopping", 7), cost=300),
    "stop denied": Fault(faults.fail_at_stop("denied"), codes("stopping", 7)),
    "client's clock 6 h ahead": Fault(
        faults.set_client_clock(faults.HOURS), codes("booting, training", 0), epochs=SHORT
    ),
    "client's clock 6 h back": Fault(
        faults.set_client_clock(-faults.HOURS), codes("booting, training", 0), epochs=SHORT
    ),
    "host's clock 6 h ahead": Fault(
        faults.set_host_clock(faults.HOURS), codes("data, training", 0), epochs=SHORT, boot_script=faults.WRONG_CLOCK
    ),
    "host's clock 6 h back": Fault(
        faults.set_host_clock(-faults.HOURS), codes("data, training", 0), epochs=SHORT, boot_script=faults.WRONG_CLOCK
    ),
    "another `train --gpu`": Fault(
        faults.run_other_command("train", "--gpu", code=5), codes("booting, training", 0), epochs=SHORT
    ),
    "`gpu stop` elsewhere": Fault(
        faults.run_other_command("gpu", "stop", code=0), codes("making ready, training", 8), requester="somebody"
    ),
}


def chosen() -> tuple[int, list[tuple[str, str]]]:
    """The seed, and the pairs of fault and phase. No fault is chosen twice, except for PNEUMO_SWEEP=all."""
    pairs = [(fault, phase) for fault, declared in FAULTS.items() for phase in PHASES if phase in declared.codes]
    assert len(pairs) == sum(len(declared.codes) for declared in FAULTS.values()), "a fault in an unknown phase"
    seed = int(os.environ.get("PNEUMO_SWEEP_SEED") or USUAL_SEED)
    if ALL_PAIRS:
        return seed, pairs
    random.Random(seed).shuffle(pairs)
    selected: dict[str, str] = dict([ALWAYS])
    left = BUDGET_S
    for fault, phase in pairs:
        if fault not in selected and FAULTS[fault].cost <= left:
            selected[fault], left = phase, left - FAULTS[fault].cost
    return seed, list(selected.items())


SEED, PAIRS = chosen()


@dataclass(frozen=True)
class Evidence:
    """What happened according to the lab, independent of the receipt."""

    started: bool
    guards: frozenset[str]  # the guards that acted

    @staticmethod
    def of(paused: PausedRun, since: int, requester: str) -> "Evidence":
        lab = paused.training.operator.lab
        good = {call["action"] for call in lab.mutating_calls() if call["source"] == OPERATOR and call["status"] == 200}
        console = paused.training.console()[since:]
        acted = {
            requester: "StopInstances" in good,
            "unit": b"pneumoctl-train: ended" in console,
            "host timer": b"pneumoctl-guard: powering off" in console,
            "schedule": any(
                schedule_run["outcome"] == "ok" and schedule_run["schedule"].endswith(f"/{paused.run}")
                for schedule_run in lab.ask("GET", "clock")["fired"]
            ),
        }
        return Evidence("StartInstances" in good, frozenset(name for name, did in acted.items() if did))


def apply_fault(training: TrainingHost, name: str, phase: str, folder: Path) -> str:
    """Apply one fault to a run, wait until the host is off again, and return the cell for the table."""
    fault, lab = FAULTS[name], training.operator.lab
    lab.reset_calls()
    since = len(training.console())
    epochs = BRIEF if phase == "upload" else fault.epochs
    paused = PausedRun(training, folder, epochs, fault.limits, fault.boot_script)
    try:
        if fault.early:
            fault.inject(paused)
        paused.start(phase)
        if not fault.early or fault.boot_script:
            paused.wait_for_phase(phase)
        checkpoint, began = (
            paused.checkpoint() if phase in ("training", "upload", "stopping") else None,
            time.monotonic(),
        )
        if not fault.early:
            fault.inject(paused)
        paused.resume()
        seconds = wait_until_off(paused, began)
    finally:
        paused.clean_up()
    code, output = paused.child.returncode, paused.output
    assert code in fault.codes[phase], f"exit {code}:\n{output}"
    assert "Traceback" not in output, output
    assert seconds <= OFF_S, f"off only after {seconds:.0f} s:\n{output}"
    evidence, receipt = Evidence.of(paused, since, fault.requester), receipt_of(paused)
    assert receipt["guard"] in evidence.guards or not evidence.started, f"{receipt}\n{evidence}\n{output}"
    assert code in (KILLED, 7, receipt["exit"]), receipt
    check_checkpoint(paused, checkpoint)
    # That of the host's first boot is terraform's: it stays, disabled.
    schedules = lab.client("scheduler").list_schedules(GroupName="pneumoctl-default")["Schedules"]
    assert all(schedule["State"] == "DISABLED" for schedule in schedules), "a stop is armed, though the host is off"
    shown = "killed" if code == KILLED else code
    return f"{receipt['guard']} {math.ceil(seconds)} s ({shown})" if evidence.started else f"not started ({shown})"


def wait_until_off(paused: PausedRun, began: float) -> float:
    """Wait until pneumoctl has ended and EC2 says that the host is off. Returns how long the host took."""
    since: float | None = None
    while since is None or paused.child.poll() is None:
        since = (since or time.monotonic()) if paused.state == "stopped" else None
        assert time.monotonic() - began < END_S, f"{paused.state}, exit {paused.child.poll()}:\n{paused.output}"
        time.sleep(0.2)
    return since - began


def receipt_of(paused: PausedRun) -> dict:
    """The receipt of the run. If the client was killed or lost the run, the next `train` collects it, as for a user."""
    operator, shown = paused.training.operator, lambda: paused.training.operator.json("runs", "show", paused.run)
    if (shown()["receipt"] or {"exit": 7})["exit"] == 7:
        done = b'"done"' in (paused.stored_object("end.json") or b"")
        # A run that exceeds the cost limit collects the end of the earlier run without starting a new one.
        arguments = ("--resume",) if done else ("--max-cost", "0.000001")
        operator.run("train", "--gpu", *arguments, code=0 if done else 4)
    receipt: dict = shown()["receipt"]
    return receipt


def check_checkpoint(paused: PausedRun, before: str | None) -> None:
    """Check that the bucket has the earlier checkpoint or a newer one, and that its digests are correct."""
    if before is None:
        return
    latest = paused.checkpoint() or ""
    assert latest >= before, f"{before} was there, now it is {latest!r}"
    digests = json.loads(paused.stored_object(f"checkpoints/{latest}/{MANIFEST}") or b"{}")
    for name in (ARRAYS, STATE):
        content = paused.stored_object(f"checkpoints/{latest}/{name}") or b""
        assert hashlib.sha256(content).hexdigest() == digests[name], f"{latest}/{name} is damaged"


@pytest.mark.repeat  # tests/pneumoctl/training/test_session*.py have every fault in a simulation
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("fault", "phase"), PAIRS, ids=[", ".join(pair) for pair in PAIRS])
def test_a_fault_in_any_phase_leaves_the_gpu_host_off_and_a_correct_receipt(
    training: TrainingHost, fault: str, phase: str, tmp_path: Path
) -> None:
    print(f"PNEUMO_SWEEP_SEED={SEED}")
    cell = apply_fault(training, fault, phase, tmp_path / "client")
    print(f"{fault}, {phase}: {cell}", flush=True)
    if ALL_PAIRS:
        training_table.save_cell(fault, phase, cell, list(FAULTS), PHASES)
