"""The training host over SSH: wait for it, prepare it, start the run, receive its progress, stop it."""

import hashlib
import io
import json
import math
import secrets as random
import shlex
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
from pneumoctl.stack import audit
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import host_plan as plans
from pneumoctl.training.host_plan import Order, Release

SILENCE_S = 20.0  # the host writes a line every second; after so long without one the link is lost
RECONNECT_S = 3.0  # between two attempts to reconnect
COMMAND_S = 15.0


@dataclass(frozen=True)
class HostEvent:
    """A progress document of the run, the end of the host's training unit, or why the host does not answer."""

    progress: Mapping[str, Any] | None = None
    ended: bool = False
    exit_code: int | None = None  # of the unit's main process
    lost: str = ""


class HostLink(Protocol):
    """The training host during a run. All methods raise PneumoError."""

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until the host has booted and answers over SSH."""

    def start_run(self, order: Order, seconds: Callable[[], float]) -> None:
        """Prepare the host and start the run. `seconds` returns how long the host may stay on from now."""

    def next_event(self, timeout: float) -> HostEvent | None:
        """The next event, None if there is none within `timeout` seconds."""

    def stop_run(self) -> None:
        """Ask the run to save a checkpoint and stop; do not wait for it."""

    def power_off(self) -> None:
        """Ask the host to power itself off; used if EC2 does not answer."""

    def close(self, release: bool = False) -> None:
        """Close all connections. With `release`, end the lease on the host first; without it, do not wait."""


class SshLink:
    """See HostLink. `off`: whether EC2 says that an instance is off."""

    def __init__(
        self, stack: Stack, inventory: Inventory, console_output: Callable[[str], str], off: Callable[[str], bool]
    ) -> None:
        self._stack, self._inventory, self._console_output, self._off = stack, inventory, console_output, off
        self.host: Host = inventory.only("train")
        self._connections = Connections(inventory, stack.ssh)
        holder = hosts.holder(stack.directory / "holder")
        self._agents = Agents(self._connections, holder, audit.current_user(), random.token_hex(6))
        self._events: SimpleQueue[HostEvent] = SimpleQueue()
        self._listener: threading.Thread | None = None
        self._closed = threading.Event()

    def wait_until_ready(self, timeout: float) -> None:
        """See HostLink."""

        def is_off(host: Host) -> bool:
            return self._off(host.instance_id)

        connections, console_output = self._connections, self._console_output
        first_boot.wait((self.host,), connections, console_output, self._stack.ssh, self._note, timeout, is_off)

    def _note(self, host: Host, message: str) -> None:
        console.note(f"  {host.name}: {message}")

    def start_run(self, order: Order, seconds: Callable[[], float]) -> None:
        """See HostLink. The start has a plan of its own, made after the installation: that took some of the seconds."""
        code = local_release()
        self._agents.lease(self.host)
        steps = plans.plan(order, code, seconds()).steps
        self._execute(Plan("prepare the training host", steps[:-1]))
        self._execute(Plan(plans.START, plans.plan(order, code, seconds()).steps[-1:]))

    def _execute(self, plan: Plan) -> None:
        alone = replace(self._inventory, hosts=(self.host,))
        runners = hosts.Hosts(alone, self._agents, {}).step_runners()
        todo = rollout.pending(plan, runners)
        journal = Journal(self._stack.journal, "train")
        with console.activities(plan.title) as shown:
            shown.expect(sum(len(steps) for steps in todo.values()))

            def report(event: str, _host: str, step: Any, detail: str) -> None:
                if event == "start":
                    shown.begin(step.title, "")
                else:
                    result = "done" if event == "done" else (detail.splitlines() or [""])[0]
                    shown.end(step.title, result, succeeded=event == "done")

            rolled_out = rollout.roll_out(plan, runners, todo, journal, report)
        rollout.raise_for(rolled_out, "pneumoctl train --gpu")

    def next_event(self, timeout: float) -> HostEvent | None:
        """See HostLink."""
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        try:
            return self._events.get(timeout=timeout)
        except Empty:
            return None

    def _listen(self) -> None:
        command = ("sh", "-c", _FOLLOW_SCRIPT, "sh", plans.PROGRESS, f"{plans.UNIT}.service")
        line = shlex.join(("sudo", "-n", "--", *command))
        while not self._closed.is_set():
            parser = _EventParser(self._events)
            try:
                _, stderr = self._connections.execute(self.host, line, None, parser, math.inf, SILENCE_S)
                why = stderr.decode(errors="replace").strip()[-200:] or "the connection is silent"
            except PneumoError as error:  # a changed host key, too: the session asks EC2 whether the host is off
                why = error.message
            if parser.ended:
                return
            self._events.put(HostEvent(lost=why))
            self._closed.wait(RECONNECT_S)

    def stop_run(self) -> None:
        """See HostLink."""
        self._run("systemctl", "stop", "--no-block", f"{plans.UNIT}.service")

    def power_off(self) -> None:
        """See HostLink."""
        self._run("systemctl", "poweroff", "--no-block")

    def _run(self, *argv: str) -> None:
        output = self._agents.run(self.host, argv, COMMAND_S)
        if output.code:
            raise PneumoError(f"{self.host.name}: {' '.join(argv)}: {output.tail(3)}")

    def close(self, release: bool = False) -> None:
        """See HostLink."""
        self._closed.set()
        if not release:  # a host that goes down does not answer
            self._connections.close()
        with ThreadPoolExecutor(1) as pool:
            self._agents.close(pool)
        self._connections.close()


# Write a line every second, so that a silent connection is a lost one; end with a last line when the unit has ended.
_FOLLOW_SCRIPT = """while :; do
  cat "$1" 2>/dev/null || echo .
  echo
  case $(systemctl is-active "$2") in inactive|failed) break ;; esac
  sleep 1
done
echo "over $(systemctl show -p ExecMainStatus --value "$2")"
"""


class _EventParser(io.BytesIO):
    """Turns the output of the follow script into events, as it arrives."""

    def __init__(self, events: SimpleQueue[HostEvent]) -> None:
        super().__init__()
        self._events, self._rest, self.ended = events, b"", False

    def write(self, data: Any) -> int:
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            if line.startswith(b"over"):
                self.ended = True
                code = line.removeprefix(b"over").strip()
                self._events.put(HostEvent(ended=True, exit_code=int(code) if code.isdigit() else None))
            elif line.startswith(b"{"):
                with suppress(ValueError):
                    self._events.put(HostEvent(progress=json.loads(line)))
        return len(data)


def with_training_host(inventory: Inventory, instance: str, address: str) -> Inventory:
    """The inventory with this instance as the training host."""
    changed = (
        replace(host, instance_id=instance, address=address) if host.role == "train" else host
        for host in inventory.hosts
    )
    return replace(inventory, hosts=tuple(changed))


def log_tail(stack: Stack, run: Run, lines: int) -> str | None:
    """The last lines of a run's log on the host; None if the host does not answer."""
    inventory = stack.hosts()
    if inventory is None or all(host.role != "train" for host in inventory.hosts):
        return None
    if run.spot:
        inventory = with_training_host(inventory, run.instance, run.address)
    argv = ("tail", "-n", str(lines), f"{plans.RUNS}/{run.id}/out/train.log")
    with Connections(inventory, stack.ssh) as connections, suppress(PneumoError):
        output = Agents(connections, holder="", who="", run="").run(inventory.only("train"), argv, COMMAND_S)
        return output.stdout if not output.code else None
    return None


def local_release() -> Release:
    """The training code of this installation."""
    folder = package("model")
    tree = files.tree(folder)
    locks = b"".join((folder / name).read_bytes() for name in ("requirements.txt", "requirements-cuda.txt"))
    return Release(tree.digest[:12], hashlib.sha256(locks).hexdigest()[:12], tree)
