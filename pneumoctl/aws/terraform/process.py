"""terraform as a process that outlives us: started, its output followed, found again, asked to end."""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pneumoctl.aws.terraform.query import INSTALL
from pneumoctl.aws.terraform.tail import Lines, follow
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically

SET_OUT_S = 60.0
SILENT_S, SILENCES = 60.0, 15  # for a terraform that was asked to end: a NAT gateway that is being made takes minutes
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SETTING_OUT = ("terraform plan", "terraform apply")


@dataclass(frozen=True)
class Run:
    """A terraform that was started. `since`: ISO 8601, UTC."""

    pid: int
    command: str
    since: str
    asked_to_end: bool = False


class Runs:
    """The runs of terraform in one directory, one at a time.

    terraform's own handle of its output file carries a lock (flock): it is held exactly as long as that process
    lives, whoever dies first. So whether one goes on is asked of the kernel; the record beside only says which.
    A pipe would not do: when we are killed, terraform would die of it in the middle of an apply.
    """

    def __init__(self, directory: Path) -> None:
        self.output = directory / "output"
        self.record = directory / "run.json"

    def going_on(self) -> bool:
        """Whether a terraform runs now."""
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self.output, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(handle)
        return False

    def last(self) -> Run | None:
        """The run that goes on or was the last, None if nothing is known of it."""
        try:
            return Run(**json.loads(self.record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        hear: Callable[[str], None],
        note: Callable[[str], None],
    ) -> int:
        """Start terraform and follow it to its end; returns its exit code.

        `hear` gets each line that it says, `note` what a person should know of it. An interrupt
        (KeyboardInterrupt, SystemExit) is passed on to terraform once, awaited, then raised again.
        """
        children: list[subprocess.Popen[bytes]] = []

        def begin() -> None:
            with _undisturbed():
                children.append(self._start(argv, cwd, environment))

        self._see_through(begin, lambda: all(child.poll() is not None for child in children), hear, note)
        return children[0].wait()

    def attach(self, hear: Callable[[str], None], note: Callable[[str], None]) -> bool:
        """Follow the terraform that still runs, from its first line to its end; False if none does."""
        if not self.going_on():
            return False
        run = self.last()
        which = f"{run.command} (process {run.pid}, since {run.since})" if run else "an earlier run"
        begin = partial(note, f"{which} still goes on: waiting for its end")
        self._see_through(begin, lambda: not self.going_on(), hear, note)
        return True

    def _start(self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        self.output.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.output, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            self.record.unlink(missing_ok=True)  # never the old one's process for the new one's
            child = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                start_new_session=True,
            )
        except BlockingIOError:
            raise PneumoError(
                f"another terraform runs in {cwd}", "the same command again: it waits for that one", Exit.LOCKED
            ) from None
        except FileNotFoundError:
            raise PneumoError("terraform is not installed", INSTALL, Exit.PREFLIGHT) from None
        finally:
            os.close(handle)
        now = datetime.now(UTC).isoformat("T", "seconds")
        self._save(Run(child.pid, " ".join(argv[:2]), now))
        return child

    def _save(self, run: Run) -> None:
        write_atomically(self.record, json.dumps(asdict(run)).encode(), 0o600)

    def _see_through(
        self,
        begin: Callable[[], None],
        ended: Callable[[], bool],
        hear: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        lines = Lines(self.output)
        try:
            begin()
            follow(lines, ended, hear)
        except (KeyboardInterrupt, SystemExit):
            try:
                if self.going_on():
                    self._ask_to_end(lambda: follow(lines, lambda: ended() or self._set_out(), hear, SET_OUT_S), note)
                if not self._await_end(lines, ended, hear, note):
                    note(_left(self.last()))
            except (KeyboardInterrupt, SystemExit):
                with contextlib.suppress(OSError):
                    note(_left(self.last()))
            except OSError:  # the terminal is gone: nobody to show it to
                pass
            raise

    def _await_end(
        self, lines: Lines, ended: Callable[[], bool], hear: Callable[[str], None], note: Callable[[str], None]
    ) -> bool:
        """Whether it ended in time. One that is silent for SILENT_S hangs: what goes on it tells every ten seconds."""
        for _ in range(SILENCES):
            before = self.output.stat().st_size
            if follow(lines, ended, hear, SILENT_S):
                return True
            run = self.last()
            if run and self.output.stat().st_size == before and self.going_on():
                note(f"terraform hangs: silent for {SILENT_S:.0f} s, so nothing of it goes on. It is ended")
                os.kill(run.pid, signal.SIGINT)
        return False

    def _ask_to_end(self, await_start: Callable[[], object], note: Callable[[str], None]) -> None:
        """One SIGINT and never a second, which would make terraform drop what it is doing.

        Not before it has set out: until then it would say that it stops, and then do all that was planned.
        """
        note(
            "interrupted: terraform finishes or breaks off what it has begun and writes its state. "
            "This may take some minutes; a second Ctrl-C leaves it alone with that"
        )
        run = self.last()
        if not run or run.asked_to_end:
            return
        try:
            if run.command in _SETTING_OUT:
                await_start()
        finally:
            if self.going_on():
                self._save(replace(run, asked_to_end=True))
                os.kill(run.pid, signal.SIGINT)

    def _set_out(self) -> bool:
        """Whether terraform has begun to look at, make or destroy something."""
        return re.search(rb'"type":"(apply|refresh)_start"', self.output.read_bytes()) is not None


def _left(run: Run | None) -> str:
    who = f"terraform (process {run.pid})" if run else "terraform"
    return (
        f"{who} goes on by itself until what it has begun is over: seconds as a rule, minutes for a NAT gateway or "
        "an instance. The same command again waits for it, then resumes"
    )


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """An interrupt waits for the end of the block, so that a terraform that was started has its record."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
