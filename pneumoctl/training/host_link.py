"""The training host over SSH: waited for, made ready by the plan, listened to through lost links, asked to stop."""

import getpass
import hashlib
import io
import json
import math
import secrets as random
import shlex
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from pneumoctl import files
from pneumoctl.errors import PneumoError
from pneumoctl.files import package
from pneumoctl.plan import rollout
from pneumoctl.plan.steps import Plan
from pneumoctl.ssh import first_boot, hosts
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import host_plan as plans
from pneumoctl.training.host_plan import Order, Release

HEARD_S = 20.0  # the host says something every second; silent for so long, the link is lost
PAUSE_S = 3.0  # before a lost link is tried again
ASK_S = 15.0


@dataclass(frozen=True)
class Word:
    """What the host lets us know: a progress document, that its unit has ended, or why it is not to be heard."""

    news: Mapping[str, Any] | None = None
    over: bool = False
    code: int | None = None  # with which the unit's main process ended
    lost: str = ""


class Link(Protocol):
    """The training host, for the length of a run. Raises PneumoError."""

    def await_up(self, patience: float) -> None:
        """Wait for its boot and for SSH."""

    def begin(self, order: Order, seconds: Callable[[], float]) -> None:
        """Make it ready and begin the run; `seconds`: how long the host may stay on from the moment it is asked."""

    def hear(self, timeout: float) -> Word | None:
        """The next word, None if there is none in time."""

    def stop_run(self) -> None:
        """Ask the run to stop with a checkpoint; returns at once."""

    def power_off(self) -> None:
        """Ask the host to power itself off, for want of any better way."""

    def close(self, release: bool = False) -> None:
        """End all connections; `release`: after telling the host that we are done with it. Else waits for nobody."""


class SshLink:
    """See Link."""

    def __init__(
        self, stack: Stack, known: Inventory, console_output: Callable[[str], str], off: Callable[[str], bool]
    ) -> None:
        self._place, self._known, self._console, self._off = stack, known, console_output, off
        self.host: Host = known.one("train")
        self._connections = Connections(known, stack.ssh)
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        holder = hosts.holder(stack.directory / "holder")
        self._agents = Agents(self._connections, holder, who, random.token_hex(6))
        self._words: SimpleQueue[Word] = SimpleQueue()
        self._listener: threading.Thread | None = None
        self._closed = threading.Event()

    def await_up(self, patience: float) -> None:
        """See Link."""
        off = lambda host: self._off(host.instance_id)  # noqa: E731
        first_boot.wait((self.host,), self._connections, self._console, self._place.ssh, self._say, patience, off)

    def _say(self, host: Host, said: str) -> None:
        console.note(f"  {host.name}: {said}")

    def begin(self, order: Order, seconds: Callable[[], float]) -> None:
        """See Link. How long it may stay on is told last: what was installed before took its time."""
        brought = release()
        self._agents.lease(self.host)
        steps = plans.plan(order, brought, seconds()).steps
        self._do(Plan("make the training host ready", steps[:-1]))
        self._do(Plan(plans.BEGIN, plans.plan(order, brought, seconds()).steps[-1:]))

    def _do(self, plan: Plan) -> None:
        alone = replace(self._known, hosts=(self.host,))
        places = hosts.Hosts(alone, self._agents, {}).places()
        todo = rollout.pending(plan, places)
        journal = Journal(self._place.directory / "journal.jsonl", "train")
        with console.activities(plan.title) as shown:
            shown.expect(sum(len(steps) for steps in todo.values()))

            def report(event: str, _host: str, step: Any, detail: str) -> None:
                if event == "start":
                    shown.begin(step.title, "")
                else:
                    said = "done" if event == "done" else (detail.splitlines() or [""])[0]
                    shown.end(step.title, said, good=event == "done")

            result = rollout.roll_out(plan, places, todo, journal, report)
        rollout.raise_for(result, "pneumoctl train --gpu")

    def hear(self, timeout: float) -> Word | None:
        """See Link."""
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        try:
            return self._words.get(timeout=timeout)
        except Empty:
            return None

    def _listen(self) -> None:
        argv = ("sudo", "-n", "--", "sh", "-c", _TELL, "sh", plans.PROGRESS, f"{plans.UNIT}.service")
        while not self._closed.is_set():
            told = _Words(self._words)
            try:
                _, said = self._connections.execute(self.host, shlex.join(argv), iter(()), told, math.inf, HEARD_S)
                why = said.decode(errors="replace").strip()[-200:] or "the link fell silent"
            except PneumoError as error:  # a changed host key, too: who waits decides by what EC2 says
                why = error.message
            if told.over:
                return
            self._words.put(Word(lost=why))
            self._closed.wait(PAUSE_S)

    def stop_run(self) -> None:
        """See Link."""
        self._ask("systemctl", "stop", "--no-block", f"{plans.UNIT}.service")

    def power_off(self) -> None:
        """See Link."""
        self._ask("systemctl", "poweroff", "--no-block")

    def _ask(self, *argv: str) -> None:
        answer = self._agents.run(self.host, argv, ASK_S)
        if answer.code:
            raise PneumoError(f"{self.host.name}: {' '.join(argv)}: {answer.tail(3)}")

    def close(self, release: bool = False) -> None:
        """See Link."""
        self._closed.set()
        if not release:  # of a host that goes down no answer is awaited
            self._connections.close()
        with ThreadPoolExecutor(1) as pool:
            self._agents.close(pool)
        self._connections.close()


# A line a second, so that a silent link is a lost one. Ends, with a last word, when the unit has ended.
_TELL = """while :; do
  cat "$1" 2>/dev/null || echo .
  echo
  case $(systemctl is-active "$2") in inactive|failed) break ;; esac
  sleep 1
done
echo "over $(systemctl show -p ExecMainStatus --value "$2")"
"""


class _Words(io.BytesIO):
    """Makes words of what the host says, as it comes."""

    def __init__(self, words: "SimpleQueue[Word]") -> None:
        super().__init__()
        self._out, self._rest, self.over = words, b"", False

    def write(self, data: Any) -> int:
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            if line.startswith(b"over"):
                self.over = True
                code = line.removeprefix(b"over").strip()
                self._out.put(Word(over=True, code=int(code) if code.isdigit() else None))
            elif line.startswith(b"{"):
                with suppress(ValueError):
                    self._out.put(Word(news=json.loads(line)))
        return len(data)


def at(known: Inventory, instance: str, address: str) -> Inventory:
    """As if that were the stack's training host; the same where it is."""
    moved = (replace(one, instance_id=instance, address=address) if one.role == "train" else one for one in known.hosts)
    return replace(known, hosts=tuple(moved))


def tail(stack: Stack, run: Run, lines: int) -> str | None:
    """The end of a run's log as it is on the host now; None where that cannot be asked."""
    known = stack.hosts()
    if known is None or all(host.role != "train" for host in known.hosts):
        return None
    if run.spot:
        known = at(known, run.instance, run.address)
    argv = ("tail", "-n", str(lines), f"{plans.RUNS}/{run.id}/out/train.log")
    with Connections(known, stack.ssh) as connections, suppress(PneumoError):
        answer = Agents(connections, holder="", who="", run="").run(known.one("train"), argv, ASK_S)
        return answer.stdout if not answer.code else None
    return None


def release() -> Release:
    """The training code beside us."""
    folder = package("model")
    tree = files.tree(folder)
    locks = b"".join((folder / name).read_bytes() for name in ("requirements.txt", "requirements-cuda.txt"))
    return Release(tree.digest[:12], hashlib.sha256(locks).hexdigest()[:12], tree)
