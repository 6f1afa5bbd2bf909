"""`up` and `teardown` complete when run again after SIGKILL, loss of power or Ctrl-C at random moments.

Once is part of other tests: a Ctrl-C in tests/lab/first_up.py, a killed `teardown` in tests/lab/aws/test_teardown.py.
"""

import os
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.lab.conftest import new_lab
from tests.lab.faults.interruptions import InterruptionTest

USUAL_SEED = 1
pytestmark = [pytest.mark.timeout(2400), pytest.mark.repeat]
KILLED = {
    "up": "start-k init-p plan-k apply-p apply-p setout-k attached-p apply-k attached-k end-p",
    "teardown": "start-k setout-p apply-p setout-k attached-p apply-p apply-k attached-k attached-k end-p",
}
INTERRUPTED = {
    "up": "start-i init-i plan-i plan-i setout-i apply-i apply-i apply-i apply-i end-i",
    "teardown": "start-i start-i setout-i setout-i apply-i apply-i apply-i apply-i apply-i end-i",
}


@pytest.fixture(scope="module")
def interruption_tests() -> Iterator[dict[str, "Future[None]"]]:
    """Run both tests at the same time, each in its own lab, because they mostly wait."""
    seed = int(os.environ.get("PNEUMO_SWEEP_SEED") or USUAL_SEED)
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        begun = {}
        for name, moments in (("killed", KILLED), ("interrupted", INTERRUPTED)):
            lab = stack.enter_context(new_lab(reset=False))
            print(f"{lab.paths.name}: {name}, PNEUMO_SWEEP_SEED={seed}")
            begun[name] = pool.submit(
                InterruptionTest(lab, random.Random(f"{name} {seed}")).interrupt_up_and_teardown, moments
            )
        yield begun


@pytest.mark.parametrize("name", ["killed", "interrupted"])
def test_interrupted_up_and_teardown_leave_no_orphan_and_no_duplicate(
    interruption_tests: dict[str, "Future[None]"], name: str
) -> None:
    interruption_tests[name].result()
