"""Bring up a stack in steps: an interrupted `up`, then a small stack, then all hosts while it serves."""

import json
import random
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.lab.faults.interruptions import InterruptionTest
from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import LONGEST_S, Operator
from tests.lab.wait import wait_for

FEWER = {"PNEUMO_APP_COUNT": "1", "PNEUMO_GPU_HOST": "false"}


@dataclass(frozen=True)
class Arrival:
    """How a stack came up. The tests report what went wrong.

    interrupted: whether the first `up` was interrupted. meanwhile: another `up`, while the next one worked.
    first: the document of that one. differences: what then was not as its settings say. traffic: the requests while
    hosts were added. document: that of the `up` which added them.
    """

    interrupted: bool
    meanwhile: subprocess.CompletedProcess[str]
    first: dict[str, Any]
    differences: str
    traffic: Traffic
    document: dict[str, Any]


def arrive(operator: Operator) -> Arrival:
    """Bring the stack up from nothing."""
    all_hosts = dict(operator.settings)
    operator.settings = FEWER
    interruption = InterruptionTest(operator.lab, random.Random(0), FEWER)
    interrupted = interruption.run_and_interrupt("up", "apply", "i", at_once=True)
    meanwhile, first = _resume(operator)
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
    return Arrival(interrupted, meanwhile, first, differences, traffic, document)


def _resume(operator: Operator) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Complete the interrupted `up`. Returns the result of another `up` at the same time, and the document."""
    up = operator.start("up", "-y", "--json")
    lock = operator.directory.with_name("default.lock")

    def locked() -> bool:
        with suppress(FileNotFoundError):  # the lock of another command was removed
            return f'"pid": {up.pid},' in lock.read_text()
        return False

    wait_for("`up` to lock the stack", locked, pause_grows=False)
    meanwhile = operator.run("up", "-y", code=None)
    out, err = up.communicate(timeout=LONGEST_S)
    assert up.returncode == 0, f"the `up` after the interrupted one ended with {up.returncode}:\n{out}\n{err}"
    operator.applied = dict(operator.settings)
    return meanwhile, json.loads(out)
