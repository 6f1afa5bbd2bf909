"""The GPU host is stopped without the API, with failed finalizers, and by each guard alone."""

from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu.signals import Interrupted
from pneumoctl.stack import runs
from pneumoctl.training import outcome
from pneumoctl.training import session as training
from pneumoctl.training.session import Session
from tests.pneumoctl.gpu_simulation import RUN, GpuSimulation, order, run, run_context
from tests.pneumoctl.training.simulated_runs import PHASES, Signals, after_calls, raising, run_it


def test_the_api_is_down_at_the_moment_of_stopping(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.hangs_at, simulation.host_acts, simulation.disconnected = 50, False, False
    down = PneumoError("AWS cannot be reached", aws="unreachable")

    def silent() -> None:
        simulation.disconnected = True
        for name in ("describe_instances", "stop_instances"):
            simulation.faults[name] = raising(down, 10**6)
        raise Interrupted(2)

    simulation.faults["next_event"] = after_calls(silent, 30)
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == Exit.GPU_NOT_STOPPED and summary.stop_failure
    assert "aws ec2 stop-instances --region eu-west-1 --instance-ids i-gpu" in summary.stop_failure.hint
    assert simulation.armed and summary.receipt.schedule == "kept" and summary.receipt.stopped is None
    assert simulation.state == "running"
    simulation.sleep(3600)
    assert simulation.state == "stopped", "the account-side schedule fires"


def test_without_the_api_the_host_itself_is_told_to_power_off(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.faults["stop_instances"] = raising(PneumoError("down", aws="unreachable"), 10**6)
    simulation.faults["next_event"] = raising(RuntimeError("bug"))
    simulation.host_acts = False
    summary = run_it(simulation, tmp_path)
    assert "power_off" in simulation.calls and simulation.state == "stopped"
    assert summary.stop_failure is None and summary.receipt.exit == 8


def test_a_bug_in_the_stop_is_called_that(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.faults["stop_instances"] = raising(KeyError("StoppingInstances"), 10**6)
    simulation.faults["start_run"] = raising(PneumoError("no room"))
    simulation.host_acts = False
    simulation.disconnected = True
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == Exit.GPU_NOT_STOPPED and summary.stop_failure
    assert "unexpected error in pneumoctl, please report it (KeyError: " in summary.stop_failure.message


def test_throttling_at_the_stop_only_takes_longer(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.faults["stop_instances"] = raising(PneumoError("throttled", aws="throttled"), 20)
    simulation.faults["start_run"] = raising(PneumoError("no room"))
    summary = run_it(simulation, tmp_path)
    assert summary.stop_failure is None and simulation.state == "stopped" and summary.receipt.exit == 8


def test_an_unwritable_receipt_is_reported_and_the_host_stopped(
    simulation: GpuSimulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_atomically", full)
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == 0 and simulation.state == "stopped" and not simulation.armed
    assert any("writing the receipt failed" in note for note in simulation.notes)


@pytest.mark.parametrize("down", [False, True], ids=["stopped", "not confirmed stopped"])
def test_a_failed_finalizer_does_not_stop_the_others(
    simulation: GpuSimulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, down: bool
) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(outcome, "switched_off_at", fails)
    if down:
        simulation.host_acts = simulation.scheduler_acts = False
        simulation.trains_s = 1e6
        unreachable = PneumoError("AWS cannot be reached", aws="unreachable")
        simulation.faults["power_off"] = raising(unreachable)
        simulation.faults["stop_instances"] = raising(unreachable, 10**6)
    summary = run_it(simulation, tmp_path, hours=0.5)
    assert any("determining how the run ended failed: " in note and "a bug" in note for note in simulation.notes)
    assert summary.receipt.exit == (Exit.GPU_NOT_STOPPED if down else Exit.TRAINING_FAILED)
    assert (summary.stop_failure is not None) is down and bool(simulation.armed) is down
    assert summary.receipt.why == ("deadline" if down else "lost")
    assert runs.load_receipt(run_context(simulation, tmp_path).stack, RUN) == summary.receipt


def test_a_detached_run_continues_and_its_host_powers_off(simulation: GpuSimulation, tmp_path: Path) -> None:
    session = Session(run_context(simulation, tmp_path), run(detached=True))
    signals: Any = Signals()
    assert training.run_and_finalize(session, signals, lambda: session.run(order())) is None
    assert simulation.state == "running" and simulation.armed
    simulation.sleep(5 * 3600)  # it is collected long after its deadline
    assert simulation.state == "stopped" and simulation.reason == "Client.InstanceInitiatedShutdown"

    later = Session(run_context(simulation, tmp_path), session.record)
    summary = training.run_and_finalize(later, signals, later.attach)
    assert summary and (summary.receipt.exit, summary.receipt.why, summary.receipt.guard) == (0, "done", "unit")
    assert not simulation.armed and summary.receipt.billed_s and summary.receipt.billed_s < 450


# Each guard alone: the others are off.


@pytest.mark.parametrize("phase", ["starting", "booting", "bringing", "training"])
def test_guard_1_alone(simulation: GpuSimulation, tmp_path: Path, phase: str) -> None:
    """The client is killed, and the host does nothing by itself."""

    class Killed(BaseException):
        pass

    simulation.host_acts, simulation.hangs_at = False, 50
    kill = raising(Killed())
    simulation.faults[PHASES[phase]] = after_calls(kill, 5) if phase == "training" else kill
    if phase == "starting":  # killed behind the call
        simulation.faults[PHASES[phase]] = lambda: None
        simulation.faults["wait_until_ready"] = kill
    session = Session(run_context(simulation, tmp_path), run())
    with pytest.raises(Killed):
        session.run(order())  # without `run_and_finalize`: nothing is finalized
    assert simulation.state == "running"
    simulation.sleep(3600 + 60)
    assert (
        simulation.state == "stopped"
        and simulation.reason == "Client.UserInitiatedShutdown"
        and simulation.seconds < 3800
    )


def test_guard_3_alone(simulation: GpuSimulation, tmp_path: Path) -> None:
    """The client is killed and no schedule acts: the end of the unit powers the host off."""
    simulation.scheduler_acts = False
    session = Session(run_context(simulation, tmp_path), run(detached=True))
    session.run(order())
    simulation.sleep(320)
    assert simulation.state == "stopped"


def test_guard_4_alone(simulation: GpuSimulation, tmp_path: Path) -> None:
    """Neither the schedule nor the host acts at the end of the run or at the deadline."""
    simulation.scheduler_acts = simulation.host_acts = False
    assert run_it(simulation, tmp_path).receipt.guard == "client"
    assert simulation.state == "stopped"


def test_guard_4_alone_keeps_the_deadline(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.scheduler_acts = simulation.host_acts = False
    simulation.trains_s = 1e6
    summary = run_it(simulation, tmp_path, hours=0.5)
    assert (summary.receipt.exit, summary.receipt.guard) == (9, "client") and simulation.seconds < 1800 + 60
