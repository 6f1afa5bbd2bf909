"""A start that fails, or whose outcome is not known: no bill, or a host that is stopped and billed."""

from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from tests.pneumoctl.gpu_simulation import FakeLink, GpuSimulation
from tests.pneumoctl.training.simulated_runs import raising, run_it


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
