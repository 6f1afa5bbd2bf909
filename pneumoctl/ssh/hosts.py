"""The hosts of a stack over SSH: connect to them, take their leases, and carry out steps through their agents."""

import re
import secrets as random
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.plan.differences import difference, planned_files
from pneumoctl.plan.rollout import StepRunner
from pneumoctl.plan.steps import Step
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.agent_client import Agents, Share
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.stack import audit
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console


@dataclass(frozen=True)
class Hosts:
    """The reachable hosts of a stack, connected and, for a command that changes something, leased."""

    inventory: Inventory  # of the hosts that answer
    agents: Agents
    unreachable: Mapping[str, Unreachable]  # the other hosts, by name

    def step_runners(self) -> dict[str, StepRunner]:
        """Host name -> the StepRunner for that host."""
        return {host.name: _OnHost(host, self.agents) for host in self.inventory.hosts}

    def differences(self, todo: Mapping[str, Sequence[Step]]) -> list[str]:
        """Unified differences between the files on the hosts and the planned ones, without the contents of secrets."""
        with ThreadPoolExecutor(len(self.inventory.hosts)) as pool:
            by_host = pool.map(lambda host: self._differences(host, todo.get(host.name, ())), self.inventory.hosts)
            return [line for lines in by_host for line in lines]

    def _differences(self, host: Host, steps: Sequence[Step]) -> list[str]:
        puts = planned_files(steps)
        current = self.agents.read(host, [put.path for put in puts]) if puts else []
        pairs = zip(puts, current, strict=True)
        return [line for put, text in pairs for line in difference(f"{host.name}:{put.path}", put, text)]


@dataclass(frozen=True)
class _OnHost:
    """A StepRunner for one host."""

    host: Host
    agents: Agents

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        return self.agents.pending(self.host, steps)

    def act(self, step: Step) -> tuple[str, Output]:
        return self.agents.act(
            self.host,
            step,
            lambda title: console.note(
                f"  {self.host.name}: waiting for “{title}”, which an earlier run began", "yellow"
            ),
        )


@contextmanager
def opened(
    stack: Stack, only: Collection[str] = (), change: bool = True, share: Share = lambda _: None
) -> Iterator[Hosts]:
    """The stack's hosts, connected, and with `change` leased until the end. `only`: names of hosts; all if empty.
    `share`: see Agents.

    Raises ssh.Unreachable if no host answers, and PneumoError (exit 5) if another pneumoctl holds a host.
    """
    inventory = stack.hosts()
    if inventory is None:
        raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")
    hosts = [host for host in inventory.hosts if host.role != "train" and (not only or host.name in only)]
    with Connections(inventory, stack.ssh) as connections:
        ours = holder(stack.directory / "holder") if change else ""  # only looking needs no lease, and writes no file
        agents = Agents(connections, ours, audit.current_user(), random.token_hex(6), share)
        with ThreadPoolExecutor(len(hosts)) as pool:
            asked = [(host, pool.submit(agents.lease if change else agents.greet, host)) for host in hosts]
            try:
                unreachable = {host.name: error for host, answer in asked if (error := _failure(answer)) is not None}
                reachable = tuple(host for host in hosts if host.name not in unreachable)
                if not reachable:
                    raise next(iter(unreachable.values()))
                yield Hosts(replace(inventory, hosts=reachable), agents, unreachable)
            finally:
                agents.close(pool)


def _failure(asked: Future[None]) -> Unreachable | None:
    """Why a host does not answer; None if it does. Other errors are raised."""
    try:
        asked.result()
    except Unreachable as error:
        return error
    return None


def holder(path: Path) -> str:
    """The holder of the hosts' leases: the same for every pneumoctl that uses this stack's directory.

    A damaged one is replaced: two holders with the same text, such as an empty one, would not exclude each other.
    """
    with suppress(FileNotFoundError):
        if re.fullmatch(r"[0-9a-f]{32}", saved := path.read_text(errors="replace").strip()):
            return saved
    made = random.token_hex(16)
    write_atomically(path, made.encode(), 0o600)
    return made
