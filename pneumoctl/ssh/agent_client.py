"""Send requests to the agents on the hosts: run probes, carry out steps, and hold leases that exclude other clients."""

import contextlib
import shlex
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import IO, Any, NamedTuple

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import NOT_COPIED, Tree
from pneumoctl.plan.steps import Action, Copy, Link, Probe, Put, Run, Service, Step, describe_action
from pneumoctl.plan.transport import Output
from pneumoctl.ssh import archive, host_program
from pneumoctl.ssh.agent_session import GRACE_S, AgentSession
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.ssh.on_host.download import WHAT as DOWNLOAD
from pneumoctl.stack.inventory import Host

LEASE_S = 30.0  # after which a lease that is not renewed ends
RENEWED_S = 8.0  # between two renewals
REQUEST_S = 60.0
# `reset-failed`: systemd refuses to start a service that has just failed repeatedly, as on its first start by Debian.
_SYSTEMCTL = 'systemctl reset-failed "$2" 2>/dev/null; exec systemctl "$1" "$2"'


class SharedTree(NamedTuple):
    """A packed tree that hosts can read: its URL and its size in bytes."""

    url: str
    size: int


Share = Callable[[Tree], SharedTree | None]


class Fenced(PneumoError):
    """Another pneumoctl holds the host's lease, or has taken it over."""

    def __init__(self, host: Host, reason: str) -> None:
        hint = "wait until it has ended, then run the same command again"
        super().__init__(f"{host.name}: {reason}", hint, Exit.LOCKED, host=host.name)


class Agents:
    """The agents of a stack's hosts. `holder` identifies the stack's directory, `who` is shown to people.
    `share` returns where a host can read a tree, None if it is sent to the host.

    Methods raise ssh.Unreachable, and Fenced if another pneumoctl holds the host's lease.
    """

    def __init__(
        self, connections: Connections, holder: str, who: str, run: str, share: Share = lambda _: None
    ) -> None:
        self._connections, self._holder, self._who, self._run = connections, holder, who, run
        self._sessions: dict[str, AgentSession] = {}
        self._starting: dict[str, threading.Lock] = {}
        self._share = share
        self._tokens: dict[str, int] = {}
        self._leased: list[Host] = []
        self._ended = threading.Event()

    def pending(self, host: Host, steps: Sequence[Step]) -> list[bool]:
        """Which of the steps have something to do on the host; one request, which changes nothing."""
        request = [(step.id, [] if step.check else [_command(probe) for probe in step.done_if]) for step in steps]
        done = self._ask(host, {"op": "probe", "steps": request}, REQUEST_S)["done"]
        return [not step_done for step_done in done]

    def read(self, host: Host, paths: Sequence[str]) -> list[str | None]:
        """The contents of files on the host; None for a missing file."""
        texts: list[str | None] = self._ask(host, {"op": "read", "paths": list(paths)}, REQUEST_S)["texts"]
        return texts

    def run(self, host: Host, argv: Sequence[str], timeout: float = 20.0) -> Output:
        """Run a command that changes nothing."""
        answer = self._ask(host, {"op": "run", "argv": list(argv), "timeout": timeout}, timeout)
        return Output(answer["code"], answer["stdout"], answer["stderr"])

    def read_output(self, host: Host, argv: Sequence[str], phase: str, timeout: float = 20.0) -> str:
        """What a command that changes nothing prints. Raises ssh.Unreachable, with the `phase`, if it fails."""
        done = self.run(host, argv, timeout)
        if done.code:
            raise Unreachable(host, phase, done.stderr.strip() or done.tail() or f"exit {done.code}")
        return done.stdout

    def check_releases(self, host: Host, roots: Sequence[str], timeout: float) -> list[tuple[str, str]]:
        """("differs", "missing" or "added", path) of each file of these releases that differs from the deployed one."""
        answer = self._ask(host, {"op": "check_releases", "roots": list(roots)}, timeout)
        return [(kind, path) for kind, path in answer["differences"]]

    def lease(self, host: Host) -> None:
        """Take the host's lease, and renew it until `close`."""
        self._lease(host)
        self._leased.append(host)
        threading.Thread(target=self._renew, args=(host,), daemon=True).start()

    def _lease(self, host: Host) -> None:
        token = self._tokens.get(host.name)
        request = {"op": "lease", "holder": self._holder, "who": self._who, "seconds": LEASE_S, "token": token}
        answer = self._ask(host, request, REQUEST_S)
        if answer["state"] == "held":
            raise Fenced(host, f"{answer['by']} works on it (its lease ends in {answer['left']:.0f} s unless renewed)")
        if answer["state"] == "lost":
            raise Fenced(host, "another pneumoctl took the host over; this one does nothing more there")
        self._tokens[host.name] = answer["token"]

    def greet(self, host: Host) -> None:
        """Check that the agent answers."""
        self.read(host, ())

    def close(self, pool: Executor) -> None:
        """Release all leases in parallel; a lease whose release fails ends by itself after LEASE_S."""
        self._ended.set()
        for host in self._leased:
            pool.submit(self._release, host)

    def _release(self, host: Host) -> None:
        if not self._connections.connected(host):  # lost a moment ago: do not wait for it again
            return
        with contextlib.suppress(PneumoError):
            self._ask(host, {"op": "release", "token": self._tokens[host.name]}, REQUEST_S)

    def _renew(self, host: Host) -> None:
        """Renew a lease until `close`. If it is lost, the next step reports that."""
        while not self._ended.wait(RENEWED_S):
            with contextlib.suppress(PneumoError):
                self._lease(host)

    def act(self, host: Host, step: Step, waiting: Callable[[str], None] = lambda _: None) -> tuple[str, Output]:
        """Carry out a step on a host; returns "done", "skip" or "failed", and its last output.

        `waiting` is called with the title of a step that an earlier pneumoctl began there and that still runs.
        """
        parts = (*step.actions, *step.validate, *step.verify)
        limit = sum(getattr(part, "timeout", 120.0) for part in parts) + GRACE_S
        answer = self._act(host, step, limit, waiting, self._share)
        if answer["state"] == "failed" and answer["what"] == DOWNLOAD:
            answer = self._act(host, step, limit, waiting, lambda _: None)
        if answer["state"] == "lost":
            raise Fenced(host, "another pneumoctl took the host over; this step was not begun")
        if answer["state"] == "failed":
            return "failed", Output(answer["code"], "", f"{answer['what']} (exit {answer['code']})\n{answer['output']}")
        return answer["state"], Output(0, answer.get("output", ""), "")

    def _act(
        self, host: Host, step: Step, limit: float, waiting: Callable[[str], None], share: Share
    ) -> dict[str, Any]:
        with tempfile.TemporaryFile() as trees:
            request = {
                "op": "act",
                "run": self._run,
                "holder": self._holder,
                "token": self._tokens.get(host.name, 0),
                "step": _step(step, trees, share),
            }
            trees.seek(0)
            return self._ask(host, request, limit, trees, waiting)

    def _ask(
        self,
        host: Host,
        request: dict[str, Any],
        limit: float,
        trees: IO[bytes] | None = None,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        answer = self._session(host).ask(
            request, limit, trees, lambda event: waiting(str(event["for"].get("title", "a step")))
        )
        if answer.get("state") == "failed" and request["op"] != "act":
            raise Unreachable(host, "asking its agent", answer["output"])
        return answer

    def _session(self, host: Host) -> AgentSession:
        """The host's session; one process on the host serves all threads."""
        with self._starting.setdefault(host.name, threading.Lock()):
            session = self._sessions.get(host.name)
            if session and not session.usable:
                session.close()
                session = None
            if session is None:
                line = shlex.join(("sudo", "-n", "--", *host_program.command()))
                session = self._sessions[host.name] = AgentSession(*self._connections.start(host, line))
                session.start()
            return session


def _step(step: Step, trees: IO[bytes], share: Share) -> dict[str, Any]:
    """A step for the agent; its trees are packed into `trees`, unless they are shared."""
    return {
        "id": step.id,
        "title": step.title,
        "check": step.check,
        "actions": [_action(action, trees, share) for action in step.actions],
        "done_if": [_command(probe) for probe in step.done_if],
        "validate": [_command(probe) for probe in step.validate],
        "verify": [_command(probe) for probe in step.verify],
    }


def _command(run: Run | Probe) -> dict[str, Any]:
    return {"do": "run", "argv": list(run.argv), "timeout": run.timeout, "title": run.title}


def _action(action: Action, trees: IO[bytes], share: Share) -> dict[str, Any]:
    match action:
        case Run():
            return _command(action)
        case Service(name, verb):
            argv = ["sh", "-c", _SYSTEMCTL, "sh", verb, name]
            return {"do": "service", "argv": argv, "timeout": 120.0, "title": describe_action(action)}
        case Put(content, path, mode):
            return {"do": "put", "path": path, "text": content, "mode": mode, "group": action.group}
        case Link(path, target):
            return {"do": "link", "path": path, "target": target}
        case Copy(tree, path):
            if shared := share(tree):
                return {"do": "copy", "path": path, "digest": tree.digest, **shared._asdict()}
            begin = trees.tell()
            archive.pack(tree.source, NOT_COPIED, trees)
            return {"do": "copy", "path": path, "digest": tree.digest, "size": trees.tell() - begin}
        case _:
            raise TypeError(f"the agent has no action: {describe_action(action)}")
