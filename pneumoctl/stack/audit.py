"""The record of every command that changed something: who did what to which stack, by which plan, with what result."""

import getpass
import hashlib
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from pneumoctl import __version__
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.hash_chain import Chain
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

Option = str | int | float | bool | None


def chain(stack: Stack) -> Chain:
    """The stack's record, which lies beside its directory and outlives teardown."""
    return Chain(stack.directory.with_name(f"{stack.name}.audit.jsonl"))


class CommandRecord:
    """One command. It is in the record from `begin` on; what a kill cuts off has a beginning and no end."""

    def __init__(self, stack: Stack, command: str, options: Mapping[str, Option]) -> None:
        self.changed: Sequence[str] | None = None  # None: not known
        self.code = int(Exit.DONE)
        self.arn = ""  # on aws, as whom
        self._chain = chain(stack)
        self._run = ""
        self._stack = stack.name
        self._what = {"command": command, "options": {name: value for name, value in options.items() if value}}

    def begin(self, plan: str = "") -> None:
        """The next thing is a change. `plan`: the digest of what is planned."""
        if not self._run:
            self._run = uuid.uuid4().hex[:12]
            self._write({"event": "begun", "plan": plan, "version": __version__})

    def end(self) -> None:
        """It is over, well or not."""
        if self._run:
            changed = None if self.changed is None else list(self.changed)
            self._write({"event": "ended", "code": int(self.code), "changed": changed})

    def _write(self, more: Mapping[str, object]) -> None:
        """A record that cannot be written stops nobody: a GPU that bills must be stopped with a full disk, too."""
        at = datetime.now(UTC).isoformat("T", "milliseconds")
        known = {"at": at, "run": self._run, "who": current_user(), "arn": self.arn, "stack": self._stack, **self._what}
        try:
            self._chain.append({**known, **more})
        except OSError as error:
            console.warn(f"this is not in the audit record: {error.filename or self._chain.path}: {error.strerror}")


@contextmanager
def recorded(stack: Stack, command: str, options: Mapping[str, Option]) -> Iterator[CommandRecord]:
    """The act of a command, whose end is recorded however it ends.

    `options` are the words that matter, and never a secret, nor a path: it may be a patient's name.
    """
    act = CommandRecord(stack, command, options)
    try:
        yield act
    except BaseException as error:
        act.code = _code(error)
        if isinstance(error, PneumoError) and isinstance(changed := error.details.get("changed"), Sequence):
            act.changed = changed
        raise
    finally:
        act.end()


def plan_digest(plan: object) -> str:
    """sha256 over everything that a plan would do, secrets included: the same plan gives the same."""
    return hashlib.sha256(repr(plan).encode()).hexdigest()


def current_user() -> str:
    """user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _code(error: BaseException) -> int:
    """The exit code that the error becomes (pneumoctl/__main__.py)."""
    if isinstance(error, PneumoError):
        return int(error.code)
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return int(Exit.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Exit.FAILED)
