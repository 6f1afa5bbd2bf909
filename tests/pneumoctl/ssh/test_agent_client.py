"""Requests to a host's agent and how its answers are handled, without a host."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from pneumoctl.files import tree
from pneumoctl.plan.steps import Copy, Run, Step
from pneumoctl.ssh.agent_client import STALL_S, Agents
from pneumoctl.ssh.connections import SIGNALLED, Unreachable
from pneumoctl.stack.inventory import Host

HOST = Host("app-0", "app", "10.0.0.5")


class FakeConnections:
    """Connections to an agent that gives one answer, or ends without an answer."""

    def __init__(self, answer: dict[str, Any] | None, code: int = 0) -> None:
        self.answer, self.code = answer, code
        self.stall = math.nan

    def execute(
        self, host: Host, command: str, stdin: Iterator[bytes], stdout: IO[bytes], limit: float, stall: float
    ) -> tuple[int, bytes]:
        self.stall = stall
        if self.answer is not None:
            stdout.write(json.dumps({"answer": self.answer}).encode() + b"\n")
        return self.code, b""


def agents(connections: FakeConnections) -> Agents:
    return Agents(connections, "us", "us@here", "run")  # type: ignore[arg-type]


def test_only_a_step_that_copies_a_tree_must_show_progress(tmp_path: Path) -> None:
    connections = FakeConnections({"state": "done"})
    agents(connections).act(HOST, Step("Install", (), (Run(("apt-get", "install"), 900.0),)))
    assert connections.stall > 900

    (tmp_path / "file").write_text("x")
    agents(connections).act(HOST, Step("Copy", (), (Copy(tree(tmp_path), "/srv/x"),)))
    assert connections.stall == STALL_S


def test_a_host_that_cannot_store_a_lease_is_named() -> None:
    full = FakeConnections({"state": "failed", "what": "the host", "code": 1, "output": "No space left on device"})

    with pytest.raises(Unreachable, match=r"app-0.*No space left on device"):
        agents(full).lease(HOST)


def test_a_killed_agent_is_reported_as_killed() -> None:
    with pytest.raises(Unreachable, match="it was killed"):
        agents(FakeConnections(None, SIGNALLED)).act(HOST, Step("Any", (), ()))
