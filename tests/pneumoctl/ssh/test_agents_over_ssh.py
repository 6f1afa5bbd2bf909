"""Agents behind real SSH servers and a bastion: one for each host, replaced when the connection was lost."""

import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.files import tree
from pneumoctl.plan.steps import Copy, Run, Step
from pneumoctl.ssh import host_program
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections, Unreachable
from tests.lab.wait import wait_for
from tests.pneumoctl import agent_process
from tests.pneumoctl.sshd import Farm, on_loopback


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as running_farm:
        yield running_farm


class Counted(Connections):
    """Counts the commands that are started on each host."""

    def start(self, host: Any, command: str) -> Any:
        self.started = [*getattr(self, "started", []), host.name]
        return super().start(host, command)


@pytest.fixture
def connections(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    for name in ("var", "run"):
        (tmp_path / name).mkdir()
    command = tuple(agent_process.argv(tmp_path))
    monkeypatch.setattr(host_program, "command", lambda: command)
    with Counted(farm.inventory, farm.directory) as opened:
        yield opened


@pytest.fixture
def agents(connections: Counted) -> Iterator[Agents]:
    made = Agents(connections, "us", "us@here", "run")
    yield made
    with ThreadPoolExecutor() as pool:
        made.close(pool)


def test_one_agent_a_host_answers_everything(farm: Farm, connections: Counted, agents: Agents, tmp_path: Path) -> None:
    web, app = farm.host("web-0"), farm.host("app-0")
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(4_000_000))
    agents.lease(web)
    step = Step("Copy", (), (Copy(tree(tmp_path / "tree"), str(tmp_path / "copied")),))
    with ThreadPoolExecutor(12) as pool:
        copied = pool.submit(agents.act, web, step)
        texts = [pool.submit(agents.read, app, [str(tmp_path / "large")]) for _ in range(3)]
        answers = list(pool.map(lambda number: agents.run(web, ("echo", str(number))).stdout, range(20)))
        assert copied.result()[0] == "done"
        assert all(text.result() == ["x" * 3_000_000] for text in texts)
    assert answers == [f"{number}\n" for number in range(20)]
    assert (tmp_path / "copied" / "file").read_bytes() == (tmp_path / "tree" / "file").read_bytes()
    assert sorted(connections.started) == ["app-0", "web-0"]


def test_a_step_ends_on_the_host_after_the_connection_was_lost(
    farm: Farm, connections: Counted, agents: Agents, tmp_path: Path
) -> None:
    host = farm.host("web-0")
    begun, release, ended = (shlex.quote(str(tmp_path / name)) for name in ("begun", "release", "ended"))
    script = f"touch {begun}; until test -e {release}; do sleep 0.05; done; touch {ended}"
    agents.lease(host)
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(agents.act, host, Step("Wait", (), (Run(("sh", "-c", script)),)))
        wait_for("the step", (tmp_path / "begun").exists)
        connections.to(host).fabric.close()
        with pytest.raises(Unreachable, match="the connection was lost; the command may still run there"):
            step.result(600)
    assert agents.run(host, ("echo", "again")).stdout == "again\n"
    (tmp_path / "release").touch()
    assert agents.act(host, Step("Next", (), (Run(("true",)),)))[0] == "done"  # after the first, whose lock it needs
    assert (tmp_path / "ended").exists()
    assert set(connections.started) == {"web-0"}


def test_a_host_whose_sudo_refuses_is_reported_with_the_reason(
    farm: Farm, agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_program, "command", lambda: ("sh", "-c", "echo sudo: a password is required >&2; exit 1"))
    with pytest.raises(Unreachable, match=r"app-0.*a password is required"):
        agents.run(farm.host("app-0"), ("true",))
