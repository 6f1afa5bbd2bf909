"""The record that the host of the store was never configured ends when a command changes the hosts and it answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.plan.steps import Plan
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack import inventory
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import change
from pneumoctl.targets.aws.store import new_store
from tests.pneumoctl.examples import DESIRED, HOSTS_OUTPUT


@pytest.mark.parametrize("answers", [True, False])
def test_it_ends_though_no_step_is_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    monkeypatch.setattr(change, "log_to", lambda *_: None)  # it stays open until the command ends
    stack = Stack("t", tmp_path / "t")
    stack.make()
    stack.write(new_store.FILE, {"instance": "i-3"})
    known = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    hosts: Any = Hosts(
        Inventory(tuple(host for host in known.hosts if answers or host.name != "app-0")), SimpleNamespace(), {}
    )
    task = change.Task("configure", prove=False)
    change._carry_out(Settings(stack="t"), stack, hosts, Plan("nothing", ()), {}, task, DESIRED)
    assert (stack.directory / new_store.FILE).exists() is not answers
