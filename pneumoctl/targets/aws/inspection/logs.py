"""`logs` on aws: the log of a service on all its hosts, or of a host, merged by time. Reconnects if needed."""

import io
import math
import re
import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import units
from pneumoctl.ssh import openssh
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.inspection import host_facts, log_sources
from pneumoctl.targets.aws.inspection.log_sources import Entry, Log
from pneumoctl.terminal.console import console

STEPS = "pneumoctl"
TIMEOUT_S = 20.0
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a log must not control the terminal
PAUSE_S = 2.0  # between attempts to reach a lost host again


def logs(stack: Stack, name: str | None, lines: int, follow: bool) -> int:
    """Show the last lines, and with `follow` new ones until Ctrl-C. Exit code 1 if a host did not answer."""
    if follow and console.json_mode:
        raise PneumoError("--follow cannot be combined with --json", "pneumoctl logs --json", Exit.USAGE)
    inventory = openssh.inventory(stack)
    chosen = choose(inventory, name)
    with Connections(inventory, stack.ssh) as connections:
        entries, lost = _last(connections, chosen, lines)
        shown = log_sources.merged(entries.values(), lines if name else lines * len(chosen))
        documents = [{"time": line.time, "host": line.host, "source": line.source, "text": line.text} for line in shown]
        console.result({"stack": stack.name, "lines": documents, "lost": lost})
        for entry in shown:
            show(entry)
        for host, reason in lost.items():
            console.warn(f"{host}: {reason}")
        if not follow:
            return Exit.FAILED if lost else Exit.DONE
        return _follow(connections, chosen, {host: last[-1] for host, last in entries.items() if last}, lines)


def choose(inventory: Inventory, name: str | None) -> list[tuple[Host, Log]]:
    """The hosts to ask, each with the log to read: of a service, of a host, or of all services."""
    up = [host for host in inventory.hosts if host.role != "train"]
    hosts = {host.name: host for host in inventory.hosts}
    if name is None:
        return [(host, log_sources.SystemdJournal(units.of(host))) for host in up]
    if name == STEPS:
        return [(host, log_sources.Steps()) for host in up]
    if name in units.WITH_LOGS:  # before hosts: nginx is both
        unit = units.WITH_LOGS[name]
        return [(host, log_sources.SystemdJournal((unit,))) for host in units.running(inventory, unit)]
    if name in hosts:
        return [(hosts[name], log_sources.SystemdJournal())]
    names = ", ".join(dict.fromkeys((*units.WITH_LOGS, STEPS, "terraform", *hosts)))
    raise PneumoError(f"unknown log {name!r}; choose one of: {names}", "pneumoctl logs api", Exit.USAGE)


def _last(
    connections: Connections, chosen: Sequence[tuple[Host, Log]], lines: int
) -> tuple[dict[str, list[Entry]], dict[str, str]]:
    """The last lines of each host, and the reason for each host without an answer."""
    agents = Agents(connections, holder="", who="", run="")

    def ask(host: Host, log: Log) -> list[Entry]:
        output = agents.read_output(host, log.command(lines), "reading its log", TIMEOUT_S)
        return [entry for line in output.splitlines() if (entry := log.entry(host.name, line)) is not None]

    answers = host_facts.within(TIMEOUT_S, {host.name: partial(ask, host, log) for host, log in chosen})
    lost = {name: answer.message for name, answer in answers.items() if isinstance(answer, PneumoError)}
    return {name: answer for name, answer in answers.items() if not isinstance(answer, PneumoError)}, lost


@dataclass(frozen=True)
class _Note:
    """A message about the connection to a host; `end`: no more entries will come from it."""

    text: str
    end: bool = False


def _follow(connections: Connections, chosen: Sequence[tuple[Host, Log]], after: dict[str, Entry], lines: int) -> int:
    """Show new entries of all hosts, until Ctrl-C or until no host can be followed any more."""
    incoming: SimpleQueue[Any] = SimpleQueue()
    for host, log in chosen:
        follower = _Follower(connections, host, log, incoming, after.get(host.name), lines)
        threading.Thread(target=follower.run, daemon=True).start()
    left = len(chosen)
    console.flush()
    while left:
        item = incoming.get()
        if isinstance(item, _Note):
            console.note(item.text, "yellow")
            left -= item.end
        else:
            show(item)
        if incoming.empty():
            console.flush()
    return Exit.FAILED


class _Follower(io.BytesIO):
    """Follows the log of one host in a thread, reconnecting as needed; no entry is missed or shown twice."""

    def __init__(
        self, connections: Connections, host: Host, log: Log, incoming: Any, after: Entry | None, lines: int
    ) -> None:
        super().__init__()
        self._connections, self._host, self._log, self._incoming = connections, host, log, incoming
        self._after, self._lines, self._rest = after, lines, b""

    def run(self) -> None:
        """Follow until this program ends, or until the host can no longer answer."""
        lost = False
        while True:
            argv = ("sudo", "-n", "--", *self._log.command(self._lines, follow=True, after=self._after))
            self._rest, self._received = b"", False
            try:
                _, stderr = self._connections.execute(self._host, shlex.join(argv), None, self, math.inf)
                reason = stderr.decode(errors="replace").strip()[-200:] or "the program that reads its log ended"
            except Unreachable as error:
                reason = error.message
            except PneumoError as error:
                self._incoming.put(_Note(error.message, end=True))
                return
            if not lost or self._received:
                self._incoming.put(_Note(f"{self._host.name} is lost, trying again: {reason}"))
            lost = True
            time.sleep(PAUSE_S)

    def write(self, data: Any) -> int:
        """Process a part of the output of the program that reads the log."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            entry = self._log.entry(self._host.name, line.decode(errors="replace"))
            if entry is not None and (entry.cursor or self._after is None or entry.at > self._after.at):
                self._received, self._after = True, entry
                self._incoming.put(entry)
        return len(data)


def show(entry: Entry) -> None:
    """Print an entry as text, line by line."""
    for line in entry.text.splitlines() or ("",):
        text = CONTROL.sub("", f"{entry.source}: {line}")
        console.text(f"{entry.time} {entry.host:10} {text}", verbatim=True)
