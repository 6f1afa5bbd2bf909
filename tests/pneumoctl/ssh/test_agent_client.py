"""What is sent to a host's agent and made of its answers, without a host."""

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


class Told:
    """Connections to an agent that gives one answer, or ends without one."""

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


def agents(told: Told) -> Agents:
    return Agents(told, "us", "us@here", "run")  # type: ignore[arg-type]


def test_a_step_that_sends_nothing_may_be_silent_as_long_as_its_commands_take(tmp_path: Path) -> None:
    told = Told({"state": "done"})
    agents(told).act(HOST, Step("Install", (), (Run(("apt-get", "install"), 900.0),)))
    assert told.stall > 900

    (tmp_path / "file").write_text("x")
    agents(told).act(HOST, Step("Copy", (), (Copy(tree(tmp_path), "/srv/x"),)))
    assert told.stall == STALL_S


def test_a_host_that_cannot_even_note_a_lease_is_named() -> None:
    full = Told({"state": "failed", "what": "the host", "code": 1, "said": "No space left on device"})

    with pytest.raises(Unreachable, match=r"app-0.*No space left on device"):
        agents(full).lease(HOST)


def test_an_agent_that_was_killed_is_not_said_to_be_slow() -> None:
    with pytest.raises(Unreachable, match="ended from outside"):
        agents(Told(None, SIGNALLED)).act(HOST, Step("Any", (), ()))
