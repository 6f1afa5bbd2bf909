"""Ask the agent on each host, over SSH, what is still to do there, and to do it, under a lease that fences others."""

import contextlib
import functools
import io
import json
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import IO, Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import NOT_COPIED
from pneumoctl.plan.steps import Action, Copy, Link, Put, Run, Service, Step, describe_action
from pneumoctl.plan.transport import Output
from pneumoctl.ssh import archive, on_host
from pneumoctl.ssh.channel import CHUNK, LATE
from pneumoctl.ssh.connections import SIGNALLED, Connections, Unreachable
from pneumoctl.stack.inventory import Host

PROGRAM = ("files", "leases", "agent")  # our modules that are sent, each behind those it imports
LEASE_S = 30.0  # how long a host stays ours when we fall silent
RENEWED_S = 8.0
QUESTION_S = 60.0
STALL_S = 120.0  # seconds in which nothing of a tree that is copied may move
GRACE_S = 30.0  # for a step whose time is up to undo what it did
_LOADER = """import sys, types
for name, size in {modules}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(sys.stdin.buffer.read(size), name, "exec"), vars(module))
module.main()"""


# A service that failed often a moment ago (as Debian's first start of one does, without our files) would be refused.
_TELL = 'systemctl reset-failed "$2" 2>/dev/null; exec systemctl "$1" "$2"'


class Fenced(PneumoError):
    """Another pneumoctl has the host, or took it over."""

    def __init__(self, host: Host, why: str) -> None:
        hint = "wait for it to end, then the same command again"
        super().__init__(f"{host.name}: {why}", hint, Exit.LOCKED, host=host.name)


class Agents:
    """The agents of a stack's hosts. `holder` is the same for one stack's directory, `who` is for people.

    Methods raise ssh.Unreachable, and Fenced where another has the host.
    """

    def __init__(self, connections: Connections, holder: str, who: str, run: str) -> None:
        self._connections, self._holder, self._who, self._run = connections, holder, who, run
        self._tokens: dict[str, int] = {}
        self._leased: list[Host] = []
        self._ended = threading.Event()

    def pending(self, host: Host, steps: Sequence[Step]) -> list[bool]:
        """Which of the steps have something to do there; one question, nothing is changed."""
        asked = [(step.title, [] if step.check else [_run(probe) for probe in step.unless]) for step in steps]
        done = self._ask(host, {"op": "probe", "steps": asked}, QUESTION_S)["done"]
        return [not one for one in done]

    def read(self, host: Host, paths: Sequence[str]) -> list[str | None]:
        """The contents of files there, None where there is none."""
        texts: list[str | None] = self._ask(host, {"op": "read", "paths": list(paths)}, QUESTION_S)["texts"]
        return texts

    def run(self, host: Host, argv: Sequence[str], timeout: float = 20.0) -> Output:
        """Run a command that changes nothing."""
        answer = self._ask(host, {"op": "run", "argv": list(argv), "timeout": timeout}, timeout)
        return Output(answer["code"], answer["stdout"], answer["stderr"])

    def lease(self, host: Host) -> None:
        """Take the host for us, and keep it until the end."""
        self._lease(host)
        self._leased.append(host)
        threading.Thread(target=self._keep, args=(host,), daemon=True).start()

    def _lease(self, host: Host) -> None:
        token = self._tokens.get(host.name)
        request = {"op": "lease", "holder": self._holder, "who": self._who, "seconds": LEASE_S, "token": token}
        answer = self._ask(host, request, QUESTION_S)
        if answer["state"] == "held":
            raise Fenced(host, f"{answer['by']} works on it (its lease ends in {answer['left']:.0f} s unless renewed)")
        if answer["state"] == "lost":
            raise Fenced(host, "another pneumoctl took it over from us; we do nothing more there")
        self._tokens[host.name] = answer["token"]

    def greet(self, host: Host) -> None:
        """Ask for nothing but an answer."""
        self.read(host, ())

    def close(self, pool: Executor) -> None:
        """Let others have all hosts, in parallel; where that fails the lease ends by itself soon."""
        self._ended.set()
        for host in self._leased:
            pool.submit(self._release, host)

    def _release(self, host: Host) -> None:
        if not self._connections.connected(host):  # it was lost a moment ago: nobody waits for it again
            return
        with contextlib.suppress(PneumoError):
            self._ask(host, {"op": "release", "token": self._tokens[host.name]}, QUESTION_S)

    def _keep(self, host: Host) -> None:
        """Renew a lease until the end; a failure is for the next step to find."""
        while not self._ended.wait(RENEWED_S):
            with contextlib.suppress(PneumoError):
                self._lease(host)

    def act(self, host: Host, step: Step, waiting: Callable[[str], None] = lambda _: None) -> tuple[str, Output]:
        """Do a step on a host; returns "done", "skip" or "failed", and what its last command said.

        `waiting` is told of a step that an earlier pneumoctl began there and that still runs.
        """
        limit = sum(getattr(action, "timeout", 120.0) for action in (*step.actions, *step.valid, *step.good)) + GRACE_S
        with tempfile.TemporaryFile() as trees:
            actions = [_action(action, trees) for action in step.actions]
            packed = trees if trees.tell() else None  # a step that sends nothing may be silent as long as it takes
            trees.seek(0)
            request = {
                "op": "act",
                "run": self._run,
                "holder": self._holder,
                "token": self._tokens.get(host.name, 0),
                "step": {
                    "title": step.title,
                    "check": step.check,
                    "actions": actions,
                    **{name: [_run(one) for one in getattr(step, name)] for name in ("unless", "valid", "good")},
                },
            }
            answer = self._ask(host, request, limit, packed, waiting)
        if answer["state"] == "lost":
            raise Fenced(host, "another pneumoctl took it over from us; this step was not begun")
        if answer["state"] == "failed":
            return "failed", Output(answer["code"], "", f"{answer['what']} (exit {answer['code']})\n{answer['said']}")
        return answer["state"], Output(0, answer.get("said", ""), "")

    def _ask(
        self,
        host: Host,
        request: dict[str, Any],
        limit: float,
        trees: IO[bytes] | None = None,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        loader, program = sent()
        line = shlex.join(("sudo", "-n", "--", "timeout", "-k", "20", f"{limit:g}", "python3", "-IS", "-c", loader))
        said = _Lines(waiting)
        stdin = _sent(program + json.dumps(request).encode() + b"\n", trees)
        code, err = self._connections.execute(
            host, line, stdin, said, limit + GRACE_S, STALL_S if trees else limit + GRACE_S
        )
        if said.answer is not None:
            if said.answer.get("state") == "failed" and request["op"] != "act":
                raise Unreachable(host, "asking its agent", said.answer["said"])
            return said.answer
        why = err.decode(errors="replace").strip()[-500:] or f"exit {code}"
        if code in (LATE, SIGNALLED, 128 + 9, 128 + 15):
            why = f"it was ended from outside, or not in {limit:.0f} s by itself"
        raise Unreachable(host, "asking its agent", why)


@functools.cache  # read once: an upgrade of ours meanwhile is for the next command
def sent() -> tuple[str, bytes]:
    """What the host's Python is told to run, and what that reads from stdin first: the agent."""
    sources = {f"{on_host.__name__}.{name}": Path(on_host.__path__[0], f"{name}.py").read_bytes() for name in PROGRAM}
    modules = [(name, len(source)) for name, source in sources.items()]
    return _LOADER.format(modules=modules), b"".join(sources.values())


class _Lines(io.BytesIO):
    """What the agent says, line by line."""

    def __init__(self, waiting: Callable[[str], None]) -> None:
        super().__init__()
        self.answer: dict[str, Any] | None = None
        self._waiting = waiting
        self._rest = b""

    def write(self, data: Any) -> int:
        """Take a part of it."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            document = json.loads(line)
            if "answer" in document:
                self.answer = document["answer"]
            else:
                self._waiting(str(document["for"].get("title", "a step")))
        return len(data)


def _sent(head: bytes, trees: IO[bytes] | None) -> Iterator[bytes]:
    yield head
    while trees and (part := trees.read(CHUNK)):
        yield part


def _run(run: Run) -> dict[str, Any]:
    return {"do": "run", "argv": list(run.argv), "timeout": run.timeout, "title": run.title}


def _action(action: Action, trees: IO[bytes]) -> dict[str, Any]:
    """An action for the agent; a tree is packed behind the others."""
    match action:
        case Run():
            return _run(action)
        case Service(name, verb):
            argv = ["sh", "-c", _TELL, "sh", verb, name]
            return {"do": "service", "argv": argv, "timeout": 120.0, "title": describe_action(action)}
        case Put(content, path, mode):
            return {"do": "put", "path": path, "text": content, "mode": mode, "group": action.group}
        case Link(path, target):
            return {"do": "link", "path": path, "target": target}
        case Copy(tree, path):
            begin = trees.tell()
            archive.pack(tree.source, NOT_COPIED, trees)
            return {"do": "copy", "path": path, "digest": tree.digest, "size": trees.tell() - begin}
        case _:
            raise TypeError(f"hosts are not asked to {describe_action(action)}")
