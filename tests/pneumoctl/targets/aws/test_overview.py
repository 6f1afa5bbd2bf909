"""The overview of a stack: a host's facts do not wait for the comparison with its desired state."""

from typing import Any, cast

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find
from pneumoctl.targets.aws import host_facts, overview
from pneumoctl.targets.aws.host_facts import HostFacts

BOOTED = HostFacts("ok", {"api/current": "releases/0123"}, 41, 17, {"pneumoctl-api": "active"}, ())
INVENTORY = Inventory((Host("nginx", "nginx", address="10.0.0.1"), Host("app-0", "app", address="10.0.0.2")))


class FakeAgents:
    """Agents that find no step pending, or fail."""

    def __init__(self, error: PneumoError | None = None) -> None:
        self.error = error

    def pending(self, *_: Any) -> list[bool]:
        if self.error:
            raise self.error
        return []


def gather_status(monkeypatch: pytest.MonkeyPatch, stack: Stack, agents: Any) -> dict[str, dict[str, Any]]:
    """The rows of the hosts, by name."""
    cloud = {"region": "eu-west-1", "instances": (), "leases": {}, "bill": None, "error": "AWS is not asked here"}
    monkeypatch.setattr(overview, "TIMEOUT_S", 60.0)
    monkeypatch.setattr(overview, "_cloud", lambda *_: cloud)
    monkeypatch.setattr(host_facts, "available_releases", lambda *_: cast(Any, object()))
    monkeypatch.setattr(host_facts, "steps", lambda *_: [])
    document = overview.gather_status(Settings(target="aws"), stack, INVENTORY, cast(Agents, agents))
    return {row["name"]: row for row in document["hosts"]}


@pytest.fixture
def stack(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return find("t")


def test_a_host_whose_pending_steps_are_not_known_is_shown_with_its_facts(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_facts, "see", lambda *_: BOOTED)
    row = gather_status(monkeypatch, stack, FakeAgents(PneumoError("connection lost")))["app-0"]
    assert (row["ssh"], row["units"], row["steps_pending"]) == ("booted", {"pneumoctl-api": "active"}, None)
    assert row["good"] and row["releases"] == {"api": "0123"}


def test_a_host_that_does_not_answer_is_shown_with_the_reason(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def see(_: object, host: Host) -> HostFacts:
        if host.name == "app-0":
            raise PneumoError("connection refused")
        return BOOTED

    monkeypatch.setattr(host_facts, "see", see)
    rows = gather_status(monkeypatch, stack, FakeAgents())
    assert rows["app-0"]["ssh"] == "connection refused" and not rows["app-0"]["good"]
    assert rows["app-0"]["steps_pending"] is None
    assert rows["nginx"]["ssh"] == "booted" and rows["nginx"]["steps_pending"] == 0
