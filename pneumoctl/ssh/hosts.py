"""The hosts of a stack over SSH: connected, leased, and asked to carry out a plan."""

import difflib
import secrets as random
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.plan.rollout import Place
from pneumoctl.plan.steps import Put, Step
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.stack import audit
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

OPERATOR = "operator"


@dataclass(frozen=True)
class Hosts:
    """The running hosts of a stack, connected and, when something is to be changed, leased."""

    inventory: Inventory  # of those that answer
    agents: Agents
    lost: Mapping[str, Unreachable]  # the others

    def places(self) -> dict[str, Place]:
        """Where the steps of a plan are done."""
        return {host.name: _OnHost(host, self.agents) for host in self.inventory.hosts}

    def differences(self, todo: Mapping[str, Sequence[Step]]) -> list[str]:
        """Unified differences between the files on the hosts and the wished ones; secret contents are not shown."""
        with ThreadPoolExecutor(len(self.inventory.hosts)) as pool:
            found = pool.map(lambda host: self._differences(host, todo.get(host.name, ())), self.inventory.hosts)
            return [line for lines in found for line in lines]

    def _differences(self, host: Host, steps: Sequence[Step]) -> list[str]:
        puts = [one for step in steps for one in step.actions if isinstance(one, Put) and not one.stamp]
        live = self.agents.read(host, [put.path for put in puts]) if puts else []
        return [line for put, text in zip(puts, live, strict=True) for line in _difference(host, put, text)]


def _difference(host: Host, put: Put, live: str | None) -> list[str]:
    if live == put.content:
        return []
    name = f"{host.name}:{put.path}"
    if put.secret:
        return [f"{name}: secret contents {'differ' if live is not None else 'are new'}"]
    old, new = (live or "").splitlines(), put.content.splitlines()
    return list(difflib.unified_diff(old, new, f"{name} (now)", f"{name} (planned)", lineterm=""))


@dataclass(frozen=True)
class _OnHost:
    """A host, as a rollout sees it."""

    host: Host
    agents: Agents

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        return self.agents.pending(self.host, steps)

    def act(self, step: Step) -> tuple[str, Output]:
        return self.agents.act(
            self.host,
            step,
            lambda what: console.note(
                f"  {self.host.name}: waiting for “{what}”, which an earlier run began", "yellow"
            ),
        )


@contextmanager
def opened(stack: Stack, only: Collection[str] = (), change: bool = True) -> Iterator[Hosts]:
    """The stack's hosts, connected; with `change` leased to us until the end. `only`: names of hosts, all if empty.

    Raises ssh.Unreachable if none of them answers, and PneumoError (exit 5) where another pneumoctl works.
    """
    known = stack.hosts()
    if known is None:
        raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")
    wanted = [host for host in known.hosts if host.role != "train" and (not only or host.name in only)]
    who = audit.who()
    with Connections(known, stack.ssh) as connections:
        agents = Agents(connections, holder(stack.directory / "holder"), who, random.token_hex(6))
        with ThreadPoolExecutor(len(wanted)) as pool:
            asked = [(host, pool.submit(agents.lease if change else agents.greet, host)) for host in wanted]
            try:
                lost = {host.name: error for host, one in asked if (error := _missed(one)) is not None}
                here = tuple(host for host in wanted if host.name not in lost)
                if not here:
                    raise next(iter(lost.values()))
                yield Hosts(replace(known, hosts=here), agents, lost)
            finally:
                agents.close(pool)


def _missed(asked: "Future[None]") -> Unreachable | None:
    """Why a host does not answer, None if it does. Other errors stop everything."""
    try:
        asked.result()
    except Unreachable as error:
        return error
    return None


def holder(path: Path) -> str:
    """Who we are to the hosts' leases: the same for every pneumoctl that works with this stack's directory."""
    if not path.exists():
        write_atomically(path, random.token_hex(16).encode(), 0o600)
    return path.read_text().strip()
