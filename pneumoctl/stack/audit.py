"""The audit record: who changed which stack with which command and plan, and with what result."""

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
    """The stack's audit record; it lies beside the stack's directory, so that teardown does not delete it."""
    return Chain(stack.directory.with_name(f"{stack.name}.audit.jsonl"))


class CommandRecord:
    """The audit record of one command. `begin` writes its first entry; a killed command has no second one."""

    def __init__(self, stack: Stack, command: str, options: Mapping[str, Option]) -> None:
        self.changed: Sequence[str] | None = None  # None: unknown
        self.code = int(Exit.DONE)
        self.arn = ""  # aws: the identity that runs the command
        self._chain = chain(stack)
        self._run = ""
        self._stack = stack.name
        self._command = {"command": command, "options": {name: value for name, value in options.items() if value}}

    def begin(self, plan: str = "") -> None:
        """Record that changes start now. `plan`: the digest of the plan."""
        if not self._run:
            self._run = uuid.uuid4().hex[:12]
            self._write({"event": "begun", "plan": plan, "version": __version__})

    def end(self) -> None:
        """Record the end of the command, successful or not; does nothing before `begin`."""
        if self._run:
            changed = None if self.changed is None else list(self.changed)
            self._write({"event": "ended", "code": int(self.code), "changed": changed})

    def _write(self, event: Mapping[str, object]) -> None:
        """Append an entry. A failure is only a warning: a full disk must not prevent stopping a GPU."""
        at = datetime.now(UTC).isoformat("T", "milliseconds")
        user = current_user()
        entry = {"at": at, "run": self._run, "who": user, "arn": self.arn, "stack": self._stack, **self._command}
        try:
            self._chain.append({**entry, **event})
        except OSError as error:
            console.warn(f"the audit record cannot be written: {error.filename or self._chain.path}: {error.strerror}")


@contextmanager
def recorded(stack: Stack, command: str, options: Mapping[str, Option]) -> Iterator[CommandRecord]:
    """Yield the audit record of a command and record its end, also after an error.

    `options` must not contain secrets or paths: a path may contain a patient's name.
    """
    record = CommandRecord(stack, command, options)
    try:
        yield record
    except BaseException as error:
        record.code = _code(error)
        if isinstance(error, PneumoError) and isinstance(changed := error.details.get("changed"), Sequence):
            record.changed = [*(record.changed or ()), *changed]
        raise
    finally:
        record.end()


def plan_digest(plan: object) -> str:
    """SHA-256 of everything that a plan would do, secrets included; equal plans have equal digests."""
    return hashlib.sha256(repr(plan).encode()).hexdigest()


def current_user() -> str:
    """user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _code(error: BaseException) -> int:
    """The exit code for an error, as pneumoctl/cli/main.py sets it."""
    if isinstance(error, PneumoError):
        return int(error.code)
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return int(Exit.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Exit.FAILED)
