"""Bring up a stack in steps: an interrupted `up`, then a small stack, then all hosts while it serves."""

import random
from contextlib import suppress
from dataclasses import dataclass

from tests.lab.faults.interrupted import Sweep
from tests.lab.hosts.traffic import Traffic
from tests.lab.operated import Operator

FEWER = {"PNEUMO_APP_COUNT": "1", "PNEUMO_WEB_COUNT": "1", "PNEUMO_GPU_HOST": "false"}


@dataclass(frozen=True)
class Growth:
    """interrupted: whether the first `up` was interrupted. traffic: the requests while hosts were added."""

    interrupted: bool
    differences: str
    traffic: Traffic


def grow(operator: Operator) -> Growth:
    """Bring the stack up. The tests report what went wrong."""
    all_hosts = dict(operator.settings)
    operator.settings = FEWER
    sweep = Sweep(operator.lab, random.Random(0), FEWER)
    interrupted = sweep.strike("up", "apply", "i", at_once=True)
    operator.run("up", "-y")
    differences = ""
    try:
        sweep.whole()
    except AssertionError as difference:
        differences = str(difference)
    operator.settings = all_hosts
    traffic = Traffic(operator)
    with suppress(AssertionError), traffic:
        operator.run("up", "-y")
    assert operator.applied == all_hosts, "the stack did not grow"
    return Growth(interrupted, differences, traffic)
