"""A new GPU host: a first boot that fails and that nobody watches, no console output, no capacity in the first zone."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

QUARTER_HOUR = 16 * 60.0


@pytest.fixture
def without_gpu_host(operator: Operator) -> Iterator[Operator]:
    """A stack whose GPU host was terminated: the next `up` makes a new one. That one is removed afterwards."""
    operator.run("gpu", "stop")  # as a run, this disables the schedule of its first boot
    _terminate(operator)
    yield operator
    operator.lab.reset()
    operator.applied = None
    if operator.lab.host_exists("train"):
        _terminate(operator)


def _terminate(operator: Operator) -> None:
    lab = operator.lab
    lab.client().terminate_instances(InstanceIds=[lab.host("train")["id"]])
    wait_for("the GPU host to be gone", lambda: not lab.host_exists("train"))


def _schedules(operator: Operator) -> list[str]:
    listed = operator.lab.client("scheduler").list_schedules(GroupName="pneumoctl-default")["Schedules"]
    return [schedule["Name"] for schedule in listed if schedule["State"] == "ENABLED"]


def test_the_account_stops_a_gpu_host_whose_first_boot_fails_and_that_nobody_watches(
    without_gpu_host: Operator,
) -> None:
    operator, lab = without_gpu_host, without_gpu_host.lab
    lab.fault.api("no-user-data", name="train")
    up = operator.start("up", "-y")
    wait_for("the new GPU host", lambda: lab.host_exists("train") or up.poll() is not None, pause_grows=False)
    os.kill(up.pid, signal.SIGKILL)
    up.communicate()
    host = lab.host("train")["id"]
    wait_for("terraform to arm its stop", lambda: f"first-boot-{host}" in _schedules(operator))
    wait_for("the host to be up", lambda: lab.host_exists("train", "up"))
    lab.reset_calls()
    assert up.returncode == -signal.SIGKILL and operator.state(host) == "running"

    lab.fault.advance_clock(QUARTER_HOUR)
    wait_for("the GPU host to be stopped", lambda: operator.state(host) == "stopped")
    fired = [run for run in lab.ask("GET", "clock")["fired"] if run["instances"] == [host]]
    assert [run["outcome"] for run in fired] == ["ok"]
    assert not [call for call in lab.mutating_calls() if call["action"] == "StopInstances"]


@pytest.mark.repeat
def test_a_gpu_host_is_made_in_another_zone_if_the_first_has_no_capacity(without_gpu_host: Operator) -> None:
    operator, lab = without_gpu_host, without_gpu_host.lab
    before = _zone(operator)
    lab.fault.api("no-capacity", name="g5.xlarge", zone=before)
    made = operator.run("up", "-y")
    assert f"AWS has no capacity for the GPU host: trying g5.xlarge in {_zone(operator)} (" in made.stderr
    assert _zone(operator) != before
    assert operator.state(operator.instance_id("train")) == "stopped"
    lab.fault.clear()
    assert operator.json("up", "-y")["changed"] == []
    assert operator.json("drift")["drift"] == []


def _zone(operator: Operator) -> str:
    named = [{"Name": "tag:Name", "Values": ["pneumoctl-default-train"]}]
    (subnet,) = operator.lab.client().describe_subnets(Filters=named)["Subnets"]
    return str(subnet["AvailabilityZone"])


@pytest.mark.repeat
def test_a_gpu_host_without_console_output_is_usable(without_gpu_host: Operator) -> None:
    operator, lab = without_gpu_host, without_gpu_host.lab
    lab.fault.api("no-console", name="")
    made = operator.run("up", "-y")
    host = operator.instance_id("train")
    assert "EC2 shows no console output of train yet" in made.stderr and operator.state(host) == "stopped"
    pins, console = operator.directory / "ssh/known_hosts", lab.paths.hosts / host / "console.log"
    assert host not in pins.read_text()

    lab.client().start_instances(InstanceIds=[host])
    wait_for("the key at the second boot", lambda: console.read_bytes().count(b"pneumoctl-host-key: ") == 2)
    operator.run("gpu", "stop")
    lab.fault.clear()
    operator.run("up", "-y")
    assert host in pins.read_text()
