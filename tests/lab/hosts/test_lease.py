"""Two pneumoctl at the same time: the second fails and names the first; one that lost its lease does nothing more."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.faults.host_faults import PausedStep
from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import COMMAND_TIMEOUT_S, Operator
from tests.lab.wait import wait_for

HOST = "app-0"
FILE = "/etc/default/prometheus-node-exporter"
CHANGE_FILE = ["sh", "-c", f"echo '# by hand' >>{FILE}"]
CHANGE_REDIS = ["sh", "-c", "echo '# by hand' >>/etc/redis/redis.conf"]
LEASE_S = 30.0


@pytest.fixture
def other_machine(operator: Operator) -> Iterator[dict[str, str]]:
    """Another machine with a copy of the stack's directory: the environment that finds it."""
    state = operator.lab.paths.home / "elsewhere"
    shutil.copytree(operator.directory, state / "pneumoctl/default", ignore=shutil.ignore_patterns(".terraform"))
    (state / "pneumoctl/default/holder").write_text("another machine")
    yield {**operator.settings, "XDG_STATE_HOME": str(state)}
    shutil.rmtree(state)


@pytest.fixture
def paused_configure(operator: Operator) -> Iterator[tuple["subprocess.Popen[str]", PausedStep]]:
    """A pneumoctl that is paused in the middle of a step."""
    operator.lab.fault.run_on_host(HOST, CHANGE_FILE)
    operator.lab.fault.run_on_host(HOST, CHANGE_REDIS)
    with PausedStep(operator, HOST, "systemctl") as paused:
        child = operator.start("configure", "-y")
        try:
            wait_for("the step", paused.has_paused)
            yield child, paused
        finally:
            child.kill()
            child.communicate()
            paused.resume()
    operator.run("configure", "-y")


def configure_on_other_machine(
    operator: Operator, env: dict[str, str], code: int | None
) -> "subprocess.CompletedProcess[str]":
    return operator.lab.run(["pneumoctl", "configure", "-y"], code, timeout=COMMAND_TIMEOUT_S, env=env)


def take_over(operator: Operator, env: dict[str, str]) -> None:
    """Run `configure` on the other machine until it is no longer refused."""
    wait_for(
        "the lease to end",
        lambda: configure_on_other_machine(operator, env, None).returncode == 0,
        LEASE_S + COMMAND_TIMEOUT_S,
        pause=LEASE_S / 3,  # an attempt is expensive
    )


def test_a_second_command_names_the_holder_on_this_and_another_machine(
    operator: Operator, paused_configure: tuple["subprocess.Popen[str]", PausedStep], other_machine: dict[str, str]
) -> None:
    first, paused = paused_configure
    on_this_machine = operator.run("configure", "-y", code=5)
    on_other_machine = configure_on_other_machine(operator, other_machine, 5)
    paused.resume()
    stderr = first.communicate(timeout=COMMAND_TIMEOUT_S)[1]

    assert f"process {first.pid}" in on_this_machine.stderr
    assert f"root@{os.uname().nodename} works on it" in on_other_machine.stderr and HOST in on_other_machine.stderr
    assert first.returncode == 0, stderr
    assert operator.json("configure", "-y")["changed"] == []


@pytest.mark.repeat
def test_after_its_death_another_machine_takes_over_when_the_lease_ends(
    operator: Operator, paused_configure: tuple["subprocess.Popen[str]", PausedStep], other_machine: dict[str, str]
) -> None:
    first, paused = paused_configure
    first.kill()
    first.wait()
    assert "works on it" in configure_on_other_machine(operator, other_machine, 5).stderr
    paused.resume()
    take_over(operator, other_machine)

    assert operator.json("configure", "-y")["changed"] == []


@pytest.mark.repeat
def test_a_frozen_and_overtaken_command_makes_no_further_changes(
    operator: Operator, paused_configure: tuple["subprocess.Popen[str]", PausedStep], other_machine: dict[str, str]
) -> None:
    first, paused = paused_configure  # its next step is "Configure Redis"
    os.kill(first.pid, signal.SIGSTOP)
    paused.resume()  # the started step continues on the host, and ends
    take_over(operator, other_machine)
    operator.lab.fault.run_on_host(HOST, CHANGE_REDIS)  # the first would undo this, if it could
    os.kill(first.pid, signal.SIGCONT)
    stderr = first.communicate(timeout=COMMAND_TIMEOUT_S)[1]

    assert first.returncode in (5, 6), stderr  # refused by the host, or its connection had ended
    assert operator.lab.fault.run_on_host(HOST, ["tail", "-n", "1", "/etc/redis/redis.conf"]) == "# by hand\n"
    Traffic(operator).upload(0)
