"""The GPU host is off after every outcome of a run in every phase, and each guard suffices alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu.signals import Interrupted
from pneumoctl.stack import runs
from pneumoctl.training import outcome
from pneumoctl.training import session as training
from pneumoctl.training.run_context import Summary
from pneumoctl.training.session import Session
from tests.pneumoctl.gpu_simulation import RUN, FakeLink, GpuSimulation, on_one_clock, order, run, run_context

Fault = Callable[[], None]
PHASES = {  # the call at which the fault is injected
    "arming": "create_schedule",
    "reading back": "get_schedule",
    "starting": "start_instances",
    "booting": "wait_until_ready",
    "bringing": "start_run",
    "training": "next_event",
}


class Signals:
    """Lets everything raise; `faults` raise Interrupted themselves."""

    @contextmanager
    def raising(self) -> Iterator[None]:
        yield


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> GpuSimulation:
    return on_one_clock(GpuSimulation(), monkeypatch)


def run_it(simulation: GpuSimulation, folder: Path, **more: Any) -> Summary:
    session = Session(run_context(simulation, folder), run(**more))
    signals: Any = Signals()
    summary = training.run_and_finalize(session, signals, lambda: session.run(order()))
    assert summary is not None
    return summary


def raising(error: BaseException, times: int = 1) -> Fault:
    """A fault that raises the error at the first `times` calls."""
    left = [times]

    def fault() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return fault


def after_calls(fault: Fault, calls: int) -> Fault:
    """A fault that starts after the first `calls` calls."""
    left = [calls]

    def delayed() -> None:
        left[0] -= 1
        if left[0] < 0:
            fault()

    return delayed


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


def test_throttling_at_the_stop_only_takes_longer(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.faults["stop_instances"] = raising(PneumoError("throttled", aws="throttled"), 20)
    simulation.faults["start_run"] = raising(PneumoError("no room"))
    summary = run_it(simulation, tmp_path)
    assert summary.stop_failure is None and simulation.state == "stopped" and summary.receipt.exit == 8


def test_a_lost_response_to_the_start_hides_no_running_gpu(simulation: GpuSimulation, tmp_path: Path) -> None:
    def lost() -> None:
        simulation.launched = simulation.seconds
        simulation.turn("pending")
        raise PneumoError("AWS cannot be reached", aws="unreachable")

    simulation.faults["start_instances"] = lost
    summary = run_it(simulation, tmp_path)
    assert simulation.state == "stopped" and summary.receipt.exit == 8 and summary.receipt.guard == "client"


def test_a_host_that_somebody_started_meanwhile_is_exit_7_and_its_stop_stays_armed(
    simulation: GpuSimulation, tmp_path: Path
) -> None:
    simulation.faults["get_schedule"] = lambda: simulation.turn("running")
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == Exit.GPU_NOT_STOPPED and "is running" in summary.receipt.message
    assert simulation.armed and "start_instances" not in simulation.calls and "gpu stop" in summary.hint


def just_made(simulation: GpuSimulation) -> None:
    """`up` made the host a minute ago and stopped it after 47 seconds."""
    simulation.launched, simulation.stopped, simulation.reason = -60, -13, "Client.UserInitiatedShutdown"


def refusal(code: str, kind: str = "refused") -> PneumoError:
    return PneumoError(f"AWS refused it: {code}", "have it allowed", aws=kind, aws_code=code)


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded"])
def test_no_capacity_is_no_bill(simulation: GpuSimulation, tmp_path: Path, code: str) -> None:
    just_made(simulation)
    simulation.faults["start_instances"] = raising(refusal(code))
    summary = run_it(simulation, tmp_path)
    receipt = summary.receipt
    assert (receipt.billed_s, receipt.usd, receipt.started, receipt.guard) == (None, None, None, "")
    assert (receipt.why, receipt.exit, receipt.schedule) == ("no capacity", Exit.PREFLIGHT, "deleted")
    assert "EC2 has no g5.xlarge now" in receipt.message and "gpu_type" in summary.hint and not simulation.armed


def test_a_start_that_ec2_takes_back_for_lack_of_capacity_is_no_bill(
    simulation: GpuSimulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ready(*_: object) -> None:
        simulation.turn("stopped", "Server.InsufficientInstanceCapacity")
        raise PneumoError("the host is off")

    monkeypatch.setattr(FakeLink, "wait_until_ready", ready)
    summary = run_it(simulation, tmp_path)
    receipt = summary.receipt
    assert (receipt.why, receipt.exit, receipt.billed_s, receipt.guard) == ("no capacity", Exit.PREFLIGHT, None, "")
    assert "train --gpu --resume" in summary.hint


def test_a_start_that_is_denied_is_no_bill_and_keeps_its_hint(simulation: GpuSimulation, tmp_path: Path) -> None:
    just_made(simulation)
    simulation.faults["start_instances"] = raising(refusal("UnauthorizedOperation", "denied"))
    summary = run_it(simulation, tmp_path)
    receipt = summary.receipt
    assert (receipt.why, receipt.exit, receipt.billed_s, receipt.guard) == ("failed", Exit.FAILED, None, "")
    assert summary.hint == "have it allowed"


def test_a_host_that_runs_although_ec2_refused_its_start_is_stopped_and_billed(
    simulation: GpuSimulation, tmp_path: Path
) -> None:
    def started_before() -> None:
        simulation.launched = simulation.seconds
        simulation.turn("running")
        raise refusal("InsufficientInstanceCapacity")

    simulation.faults["start_instances"] = started_before
    summary = run_it(simulation, tmp_path)
    assert simulation.state == "stopped" and summary.receipt.guard == "client"
    assert summary.receipt.billed_s is not None


def test_a_schedule_that_is_denied_starts_nothing(simulation: GpuSimulation, tmp_path: Path) -> None:
    simulation.faults["create_schedule"] = raising(PneumoError("AWS denies scheduler:CreateSchedule", aws="denied"))
    summary = run_it(simulation, tmp_path)
    assert summary.receipt.exit == Exit.PREFLIGHT and "start_instances" not in simulation.calls


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
