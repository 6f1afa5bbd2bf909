"""SSH to hosts that are dead, cut off or have another key, through a working bastion: no hang, and a clear error."""

import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

SLEEP_S = 600  # duration of the session's command, much longer than until the lost connection is noticed


@dataclass(frozen=True)
class CommandResult:
    """How a command ended."""

    code: int
    err: str


@dataclass(frozen=True)
class FaultResults:
    """The results while web-0 was dead, app-0 cut off, app-1 had another key, and a session to monitoring was cut."""

    dead: CommandResult
    cut: CommandResult
    changed: CommandResult
    session: CommandResult
    bastion: CommandResult
    status: dict[str, str]  # host -> the state of SSH to it in `status`


@pytest.fixture(scope="module")
def fault_results(aws: SharedStack[FirstUp]) -> FaultResults:
    """Apply all faults at the same time, because each takes long, then repair everything."""
    operator = aws.ready()
    fault = operator.lab.fault
    session = operator.start("ssh", "monitoring", "--", f"echo there; sleep {SLEEP_S}")
    assert session.stdout and session.stdout.readline() == "there\n"
    fault.kill("web-0")
    fault.cut("app-0")
    fault.cut("monitoring")
    fault.change_keys("app-1")
    try:
        return query_all(operator, session)
    finally:
        session.kill()
        repair(operator)


def query_all(operator: Operator, session: "subprocess.Popen[str]") -> FaultResults:
    """Query all hosts at the same time."""
    with ThreadPoolExecutor(6) as pool:

        def ssh(host: str) -> Future[CommandResult]:
            return pool.submit(result_of, lambda: operator.run("ssh", host, "--", "echo reached", code=None))

        lost = pool.submit(result_of, lambda: wait_for_session(session))
        dead, cut, changed, bastion = ssh("web-0"), ssh("app-0"), ssh("app-1"), ssh("nginx")
        hosts = operator.status(unreachable=("web-0", "app-0", "app-1", "monitoring"))["hosts"]
        ssh_states = {host["name"]: host["ssh"] for host in hosts}
        return FaultResults(dead.result(), cut.result(), changed.result(), lost.result(), bastion.result(), ssh_states)


def wait_for_session(session: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    _, err = session.communicate(timeout=SLEEP_S / 2)
    return subprocess.CompletedProcess((), session.returncode, "", err)


def result_of(run: "Callable[[], subprocess.CompletedProcess[str]]") -> CommandResult:
    result = run()
    return CommandResult(result.returncode, result.stderr)


def repair(operator: Operator) -> None:
    operator.lab.reset()
    wait_for("every host to answer", lambda: operator.run("status", code=None).stdout.count(" run ") >= 5)


@pytest.mark.parametrize(("which", "host"), [("dead", "web-0"), ("cut", "app-0")])
def test_a_host_that_is_dead_or_cut_off_is_given_up_and_named(
    fault_results: FaultResults, which: str, host: str
) -> None:
    result: CommandResult = getattr(fault_results, which)

    assert result.code == 1
    assert f"error: {host} (10.20.16." in result.err and "cannot be reached: " in result.err
    assert "next: pneumoctl status" in result.err


def test_a_session_whose_link_is_cut_ends(fault_results: FaultResults) -> None:
    assert fault_results.session.code == 1
    assert "error: monitoring (10.20.0.20) cannot be reached: Timeout, server" in fault_results.session.err


def test_the_bastion_stays_reachable(fault_results: FaultResults) -> None:
    assert fault_results.bastion.code == 0
    assert fault_results.status["nginx"] == "booted"


def test_a_changed_host_key_is_a_hard_stop(fault_results: FaultResults, operator: Operator) -> None:
    instance_id = operator.inventory_host("app-1")["instance_id"]

    assert fault_results.changed.code == 1
    assert f"the host key of app-1 ({instance_id}) is not the one pinned at its creation" in fault_results.changed.err
    assert "Nothing was sent to it" in fault_results.changed.err
    assert f"terminate {instance_id}, then: pneumoctl up" in fault_results.changed.err


def test_our_own_transport_says_the_same(fault_results: FaultResults) -> None:
    assert "the host key of app-1" in fault_results.status["app-1"]
    assert fault_results.status["web-0"] == fault_results.status["app-0"] == "no answer within 3.5 s"


def test_a_repaired_host_is_reachable_again(fault_results: FaultResults, operator: Operator) -> None:
    assert operator.run("ssh", "app-1", "--", "hostname").stdout == "app-1\n"
