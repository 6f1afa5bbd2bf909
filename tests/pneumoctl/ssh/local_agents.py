"""Agents that are started on this machine in place of a host."""

from collections.abc import Callable

from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack.inventory import Host
from tests.pneumoctl.agent_process import LocalConnections

HOST = Host("app-0", "app", "10.0.0.5")
Start = Callable[..., tuple[Agents, LocalConnections]]
