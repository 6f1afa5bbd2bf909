"""The GPU host is off after every outcome of a run in every phase."""

from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu.signals import Interrupted
from pneumoctl.stack import runs
from pneumoctl.training import outcome
from pneumoctl.training import session as training
from tests.pneumoctl.gpu_simulation import RUN, GpuSimulation, on_one_clock, run_context
from tests.pneumoctl.training.simulated_runs import PHASES, after_calls, raising, run_it


def test_a_run_that_succeeds(simulation: GpuSimulation, tmp_path: Path) -> None:
    summary = run_it(simulation, tmp_path)
    receipt = summary.receipt
    assert (receipt.exit, receipt.why, receipt.guard) == (0, "done", "unit")
    assert simulation.state == "stopped" and not simulation.armed and receipt.schedule == "deleted"
    assert receipt.billed_s and 360 < receipt.billed_s < 400 and receipt.usd == pytest.approx(0.105, abs=0.01)
    done = [
        name for name in simulation.calls if name.endswith(("_schedule", "_instances", "start_run", "wait_until_ready"))
    ]
    without = [name for name in done if name != "describe_instances"]
    assert without[:6] == [
        "create_schedule",
        "get_schedule",
        "start_instances",
        "get_schedule",
        "wait_until_ready",
        "start_run",
    ]
    assert without[-1] == "delete_schedule", "the schedule goes last, when the stop is proven"
    saved = runs.load(run_context(simulation, tmp_path).stack, RUN)
    assert [phase for phase, _ in saved.phases] == ["armed", "started", "up", "begun", "stopped"]
    assert simulation.shown[-1]["counter"] > 200


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Interrupted(2), 130),
        (Interrupted(15), 143),
        (Interrupted(1), 129),
        (KeyboardInterrupt(), Exit.TRAINING_FAILED),
        (RuntimeError("a bug"), Exit.TRAINING_FAILED),
        (MemoryError(), Exit.TRAINING_FAILED),
        (PneumoError("AWS denies it"), Exit.TRAINING_FAILED),
        (OSError(28, "No space left on device"), Exit.TRAINING_FAILED),
    ],
    ids=["ctrl-c", "SIGTERM", "SIGHUP", "KeyboardInterrupt", "bug", "memory", "error", "disk full"],
)
def test_an_error_in_any_phase_stops_the_host(
    simulation: GpuSimulation, tmp_path: Path, phase: str, error: BaseException, code: int
) -> None:
    simulation.faults[PHASES[phase]] = raising(error)
    summary = run_it(simulation, tmp_path)
    assert simulation.state == "stopped" and not simulation.armed and summary.stop_failure is None
    before = phase in ("arming", "reading back")
    if before and code == Exit.TRAINING_FAILED:
        assert summary.receipt.exit == (Exit.PREFLIGHT if isinstance(error, PneumoError) else Exit.FAILED)
    else:
        assert summary.receipt.exit == code
    assert ("start_instances" in simulation.calls) is not before
    never = before or phase == "starting"  # the fault is before the call to EC2
    assert summary.receipt.guard == ("" if never else "unit" if phase == "training" and code != 8 else "client")
    saved = runs.load_receipt(run_context(simulation, tmp_path).stack, RUN)
    assert saved == summary.receipt


def test_a_host_that_would_not_be_stopped_when_it_powers_itself_off_is_not_started(
    simulation: GpuSimulation, tmp_path: Path
) -> None:
    simulation.when_off = "terminate"
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == Exit.PREFLIGHT and "nothing was started" in summary.receipt.message
    assert "start_instances" not in simulation.calls and not simulation.armed


def test_the_first_ctrl_c_lets_it_save_a_checkpoint_and_the_second_stops_at_once(
    simulation: GpuSimulation, tmp_path: Path
) -> None:
    simulation.faults["next_event"] = after_calls(raising(Interrupted(2)), 20)
    summary = run_it(simulation, tmp_path)
    assert simulation.asked and simulation.end and simulation.end["why"] == "stopped" and summary.receipt.exit == 130

    again = GpuSimulation()
    again.faults["next_event"] = raising(Interrupted(2), times=2)
    with pytest.MonkeyPatch.context() as patch:
        on_one_clock(again, patch)
        summary = run_it(again, tmp_path / "again")
    assert again.state == "stopped" and summary.receipt.exit == 130 and summary.receipt.guard == "client"


def test_an_interrupt_waits_a_limited_time_for_a_hanging_run(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.hangs_at = 10
    simulation.host_acts = False
    simulation.faults["next_event"] = after_calls(raising(Interrupted(15)), 30)
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == 143 and summary.receipt.guard == "client" and simulation.state == "stopped"
    assert simulation.seconds < 5 + 60 + 30 + training.CHECKPOINT_S + 60


@pytest.mark.parametrize("after", [0, 30, 250])
def test_a_lost_connection_does_not_end_the_run(simulation: GpuSimulation, tmp_path: Path, after: int) -> None:
    cut = [0]

    def fault() -> None:
        cut[0] += 1
        simulation.disconnected = after <= cut[0] < after + 40

    simulation.faults["next_event"] = fault
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == 0 and summary.receipt.guard == "unit"
    assert not simulation.asked and simulation.state == "stopped"
    assert sum("does not answer" in note for note in simulation.notes) == 1


def test_the_training_hangs_and_only_the_client_sees_it(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.hangs_at, simulation.host_acts = 50, False
    summary = run_it(simulation, tmp_path)
    assert (summary.receipt.exit, summary.receipt.why, summary.receipt.guard) == (8, "stalled", "client")
    assert simulation.asked and simulation.seconds < 5 + 60 + 50 + 600 + 100 + 60


def test_the_host_s_kernel_dies_while_ec2_says_running(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.hangs_at, simulation.host_acts = 50, False
    simulation.faults["next_event"] = after_calls(lambda: setattr(simulation, "disconnected", True), 50)
    summary = run_it(simulation, tmp_path)
    assert (summary.receipt.exit, summary.receipt.why, summary.receipt.guard) == (8, "lost", "client")
    assert simulation.seconds < 5 + 60 + 50 + 600 + 60


def test_a_host_that_never_boots_is_stopped(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.disconnected = True
    summary = run_it(simulation, tmp_path)
    assert (summary.receipt.exit, summary.receipt.guard) == (8, "client") and "SSH" in summary.receipt.message
    assert simulation.seconds < training.BOOT_S + 60


@pytest.mark.parametrize(
    ("end", "code", "why"),
    [
        ({"why": "failed", "exit": 1, "message": "loss is nan"}, 8, "failed"),
        ({"why": "collapsed", "exit": 3, "message": ""}, 8, "collapsed"),
        ({"why": "not resumable", "exit": 4, "message": "another recipe"}, 8, "not resumable"),
        ({"why": "no gpu", "exit": 5, "message": "TensorFlow 2.21 sees none, driver 580.1"}, 8, "no gpu"),
        ({"why": "spot", "exit": 143, "message": "spot: terminate"}, 9, "spot"),
        ({"why": "killed", "exit": None, "message": "oom-kill"}, 8, "killed"),
        ({"why": "done", "exit": 0, "message": "", "missed": []}, 0, "done"),
    ],
)
def test_how_the_host_says_that_it_ended(
    simulation: GpuSimulation, tmp_path: Path, end: dict[str, Any], code: int, why: str
) -> None:
    simulation.end = end
    summary = run_it(simulation, tmp_path)
    assert (summary.receipt.exit, summary.receipt.why) == (code, why)
    assert summary.receipt.message == end["message"] and simulation.state == "stopped"
    assert summary.hint == ("to start a new run: pneumoctl train --gpu" if why == "not resumable" else "")


def test_trained_but_not_in_the_bucket_is_no_success(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.end = {
        "why": "done",
        "exit": 0,
        "message": "",
        "missed": ["s3://bucket/bundle/model.keras: cannot write"],
    }
    summary = run_it(simulation, tmp_path)
    assert (summary.receipt.exit, summary.receipt.why) == (8, "not sent") and simulation.state == "stopped"
    assert "bundle/model.keras" in summary.receipt.message and not outcome.all_delivered(simulation.end)


def test_a_missing_end_report_in_the_bucket(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.faults["end_report"] = raising(PneumoError("AccessDenied"), 99)
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == 8 and "success, 0" in summary.receipt.message and simulation.state == "stopped"


def test_a_deadline_on_the_host_uploads_the_checkpoint(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.trains_s = 1e6
    summary = run_it(simulation, tmp_path, hours=0.25)
    assert (summary.receipt.exit, summary.receipt.why, summary.receipt.guard) == (9, "deadline", "unit")
    assert simulation.end and simulation.seconds < 900 - 100
