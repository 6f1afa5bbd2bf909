"""Bring up a stack in steps: an interrupted `up`, then a small stack, then all hosts while it serves."""

import json
import random
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.lab.faults.interruptions import InterruptionTest
from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import COMMAND_TIMEOUT_S, Operator
from tests.lab.wait import wait_for

FEWER = {"PNEUMO_APP_COUNT": "1", "PNEUMO_GPU_HOST": "false"}


@dataclass(frozen=True)
class FirstUp:
    """How a stack came up. The tests report what went wrong.

    interrupted: whether the first `up` was interrupted. small_stack: the document of the next `up`, which completed it.
    concurrent_up, status: the results of another `up` and of `status` at the same time. differences: how the stack then
    differed from its settings. traffic: the requests while hosts were added. document: that of the `up` which added
    them.
    """

    interrupted: bool
    concurrent_up: subprocess.CompletedProcess[str]
    status: subprocess.CompletedProcess[str]
    small_stack: dict[str, Any]
    differences: str
    traffic: Traffic
    document: dict[str, Any]


def bring_up_in_steps(operator: Operator) -> FirstUp:
    """Bring the stack up from nothing."""
    all_hosts = dict(operator.settings)
    operator.settings = FEWER
    interruption = InterruptionTest(operator.lab, random.Random(0), FEWER)
    interrupted = interruption.run_and_interrupt("up", "apply", "i", at_once=True)
    concurrent_up, status, small_stack = _resume(operator)
    differences = ""
    try:
        interruption.check_consistent()
    except AssertionError as difference:
        differences = str(difference)
    operator.settings = all_hosts
    traffic, document = Traffic(operator), {}
    with suppress(AssertionError), traffic:
        document = operator.json("up", "-y")
    assert operator.applied == all_hosts, "the stack did not grow"
    return FirstUp(interrupted, concurrent_up, status, small_stack, differences, traffic, document)


def _resume(
    operator: Operator,
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str], dict[str, Any]]:
    """Complete the interrupted `up`. Returns what another `up` and `status` said meanwhile, and the document."""
    up = operator.start("up", "-y", "--json")
    lock = operator.directory.with_name("default.lock")

    def locked() -> bool:
        with suppress(FileNotFoundError):  # the lock of another command was removed
            return f'"pid": {up.pid},' in lock.read_text()
        return False

    wait_for("`up` to lock the stack", locked, pause_grows=False)
    concurrent_up = operator.run("up", "-y", code=None)
    status = operator.run("status", code=None)  # there is no inventory yet
    out, err = up.communicate(timeout=COMMAND_TIMEOUT_S)
    assert up.returncode == 0, f"the `up` after the interrupted one ended with {up.returncode}:\n{out}\n{err}"
    operator.applied = dict(operator.settings)
    return concurrent_up, status, json.loads(out)
