"""`logs` on aws: of a service on all its hosts, or of a host, merged by time; followed through lost links."""

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
from pneumoctl.targets.aws import host_facts, log_sources
from pneumoctl.targets.aws.log_sources import Entry, Log
from pneumoctl.terminal.console import console

STEPS = "pneumoctl"
PATIENCE_S = 20.0
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # nobody's log rules our terminal
PAUSE_S = 2.0  # between two tries to reach a host that was lost


def logs(stack: "Stack", name: str | None, lines: int, follow: bool) -> int:
    """Show the last lines, and with `follow` what comes until Ctrl-C. Exit 1 if a host could not be asked."""
    if follow and console.json_mode:
        raise PneumoError("--follow and --json exclude each other", "pneumoctl logs --json", Exit.USAGE)
    known = openssh.inventory(stack)
    chosen = choose(known, name)
    with Connections(known, stack.ssh) as connections:
        found, lost = _last(connections, chosen, lines)
        shown = log_sources.merged(found.values(), lines if name else lines * len(chosen))
        documents = [{"time": one.time, "host": one.host, "source": one.source, "text": one.text} for one in shown]
        console.result({"stack": stack.name, "lines": documents, "lost": lost})
        for one in shown:
            say(one)
        for host, why in lost.items():
            console.warn(f"{host}: {why}")
        if not follow:
            return Exit.FAILED if lost else Exit.DONE
        try:
            return _follow(
                connections, chosen, {host: entries[-1] for host, entries in found.items() if entries}, lines
            )
        except KeyboardInterrupt:
            return Exit.INTERRUPTED


def choose(known: "Inventory", name: str | None) -> "list[tuple[Host, Log]]":
    """The hosts to ask and for what: a service's on all hosts that run it, a host's own, or those of all services."""
    up = [host for host in known.hosts if host.role != "train"]
    hosts = {host.name: host for host in known.hosts}
    if name is None:
        return [(host, log_sources.Journal(units.of(host))) for host in up]
    if name == STEPS:
        return [(host, log_sources.Steps()) for host in up]
    if name in units.WITH_LOGS:  # before hosts: nginx is both
        unit = units.WITH_LOGS[name]
        return [(host, log_sources.Journal((unit,))) for host in units.running(known, unit)]
    if name in hosts:
        return [(hosts[name], log_sources.Journal())]
    there = ", ".join(dict.fromkeys((*units.WITH_LOGS, STEPS, "terraform", *hosts)))
    raise PneumoError(f"there is no log of {name!r}; there are: {there}", "pneumoctl logs api", Exit.USAGE)


def _last(
    connections: "Connections", chosen: "Sequence[tuple[Host, Log]]", lines: int
) -> "tuple[dict[str, list[Entry]], dict[str, str]]":
    """The last lines of each host, and why those that are missing are."""
    agents = Agents(connections, holder="", who="", run="")

    def ask(host: "Host", log: "Log") -> "list[Entry]":
        said = agents.run(host, log.command(lines), PATIENCE_S).stdout
        return [entry for line in said.splitlines() if (entry := log.entry(host.name, line)) is not None]

    answers = host_facts.within(PATIENCE_S, {host.name: partial(ask, host, log) for host, log in chosen})
    lost = {name: one.message for name, one in answers.items() if isinstance(one, PneumoError)}
    return {name: one for name, one in answers.items() if not isinstance(one, PneumoError)}, lost


@dataclass(frozen=True)
class _Note:
    """Something to tell of the following itself; `end`: no more will come from that host."""

    text: str
    end: bool = False


def _follow(
    connections: "Connections", chosen: "Sequence[tuple[Host, Log]]", after: "dict[str, Entry]", lines: int
) -> int:
    """Show what comes from all hosts, until Ctrl-C or until none can be followed any more."""
    coming: SimpleQueue[Any] = SimpleQueue()
    for host, log in chosen:
        follower = _Follower(connections, host, log, coming, after.get(host.name), lines)
        threading.Thread(target=follower.run, daemon=True).start()
    left = len(chosen)
    console.flush()
    while left:
        one = coming.get()
        if isinstance(one, _Note):
            console.note(one.text, "yellow")
            left -= one.end
        else:
            say(one)
        if coming.empty():
            console.flush()
    return Exit.FAILED


class _Follower(io.BytesIO):
    """Follows the log of one host, in a thread, through lost links: nothing is left out and nothing comes twice."""

    def __init__(
        self, connections: "Connections", host: "Host", log: "Log", coming: Any, after: "Entry | None", lines: int
    ) -> None:
        super().__init__()
        self._connections, self._host, self._log, self._coming = connections, host, log, coming
        self._after, self._lines, self._rest = after, lines, b""

    def run(self) -> None:
        """Until the program ends, or the host will never answer."""
        lost = False
        while True:
            argv = ("sudo", "-n", "--", *self._log.command(self._lines, follow=True, after=self._after))
            self._rest, self._heard = b"", False
            try:
                _, said = self._connections.execute(self._host, shlex.join(argv), iter(()), self, math.inf)
                why = said.decode(errors="replace").strip()[-200:] or "its log's reader ended"
            except Unreachable as error:
                why = error.message
            except PneumoError as error:
                self._coming.put(_Note(error.message, end=True))
                return
            if not lost or self._heard:
                self._coming.put(_Note(f"{self._host.name} is lost and tried again: {why}"))
            lost = True
            time.sleep(PAUSE_S)

    def write(self, data: Any) -> int:
        """Take what its program says."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            entry = self._log.entry(self._host.name, line.decode(errors="replace"))
            if entry is not None and (entry.cursor or self._after is None or entry.at > self._after.at):
                self._heard, self._after = True, entry
                self._coming.put(entry)
        return len(data)


def say(one: "Entry") -> None:
    """A line for a person; what several lines long is stays below its time."""
    for line in one.text.splitlines() or ("",):
        console.text(f"{one.time} {one.host:10} " + CONTROL.sub("", f"{one.source}: {line}"))
