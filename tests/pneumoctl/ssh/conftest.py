"""SSH servers as a bastion and private hosts, connections to them, and agents that run on this machine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from tests.pneumoctl import agent_process
from tests.pneumoctl.agent_process import LocalConnections
from tests.pneumoctl.ssh.local_agents import Start
from tests.pneumoctl.ssh_namespaces import entered, namespaces
from tests.pneumoctl.sshd import Farm, on_loopback


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as running_farm:
        yield running_farm


@pytest.fixture(scope="module")
def hosts_in_namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, str]]:
    with namespaces(tmp_path_factory.mktemp("network")) as hosts:
        yield hosts


@pytest.fixture
def network(hosts_in_namespaces: tuple[Farm, str]) -> Iterator[Farm]:
    """Hosts in network namespaces. During the test, this thread is in one that only reaches the bastion."""
    farm, operator = hosts_in_namespaces
    with entered(operator):
        yield farm


@pytest.fixture
def connections(farm: Farm) -> Iterator[Connections]:
    with Connections(farm.inventory, farm.directory) as opened:
        yield opened


@pytest.fixture
def start() -> Iterator[Start]:
    """Agents of a host on which these commands are started, one after another."""
    opened: list[tuple[Agents, LocalConnections]] = []

    def started(*commands: list[str], holder: str = "us") -> tuple[Agents, LocalConnections]:
        connections = LocalConnections(*commands)
        opened.append((Agents(connections, holder, f"{holder}@here", "run"), connections))  # type: ignore[arg-type]
        return opened[-1]

    yield started
    for agents, connections in opened:
        with ThreadPoolExecutor() as pool:
            agents.close(pool)
        connections.end()


@pytest.fixture
def agent(tmp_path: Path) -> list[str]:
    """The command of the real agent."""
    for name in ("var", "run", "srv"):
        (tmp_path / name).mkdir()
    return agent_process.argv(tmp_path)
