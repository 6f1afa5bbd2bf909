"""tests/aws/smoke.sh, which somebody runs on a real account, works in the lab: it proves all and leaves nothing."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws import test_smoke
from tests.lab.api.state import ACCOUNT
from tests.lab.conftest import new_lab
from tests.lab.machine.lab import Lab
from tests.lab.machine.paths import REGION
from tests.lab.wait import wait_for

COMMAND = ["bash", str(test_smoke.SMOKE), "--account", ACCOUNT, "--region", REGION, "--max-usd", "2", "--yes"]


@pytest.fixture
def account() -> Iterator[Lab]:
    """An account of its own: the script makes and destroys a stack in it."""
    with new_lab() as lab:
        yield lab


def instances(lab: Lab) -> list[str]:
    """The states of all instances that are not terminated."""
    groups = lab.client().describe_instances()["Reservations"]
    states = [instance["State"]["Name"] for group in groups for instance in group["Instances"]]
    return [state for state in states if state != "terminated"]


@pytest.mark.repeat
@pytest.mark.timeout(5400)
def test_it_proves_every_guard_and_leaves_nothing(account: Lab, tmp_path: Path) -> None:
    done = account.run(COMMAND, None, timeout=5000, env={"SMOKE_WORK": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    receipt = (tmp_path / "receipt.txt").read_text()
    assert receipt.count("\nproven ") == 11 and "failed" not in receipt and "not tried" not in receipt, receipt
    assert all(f"(guard {number})" in receipt for number in range(1, 6))
    assert "cost       USD " in receipt and not instances(account)


@pytest.mark.repeat
@pytest.mark.timeout(3600)
def test_ctrl_c_tears_the_stack_down(account: Lab, tmp_path: Path) -> None:
    child = account.start(COMMAND, env={"SMOKE_WORK": str(tmp_path)})
    wait_for("an instance", lambda: bool(instances(account)) or child.poll() is not None, 900)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the script and to what it runs
    out, err = child.communicate(timeout=1800)
    assert child.returncode == 130, out + err
    assert "proven     teardown" in out and not instances(account)
