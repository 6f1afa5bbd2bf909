"""Terraform as a process that outlives pneumoctl: start it, follow its output, attach to it later, interrupt it."""

import contextlib
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
from pneumoctl.files import make_private, write_atomically
from pneumoctl.stack import lock

BEGIN_S = 60.0
SILENT_S, SILENCES = 60.0, 15  # after an interrupt: the creation of a NAT gateway takes minutes
_REAP_S = 1.0
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTIBLE_LATER = ("terraform plan", "terraform apply")


@dataclass(frozen=True)
class TerraformRun:
    """A terraform process that was started. `since`: ISO 8601, UTC."""

    pid: int
    command: str
    since: str
    asked_to_end: bool = False


class Runs:
    """The runs of terraform in one directory, one at a time.

    Terraform inherits a locked handle (flock) of its output file, so the kernel holds the lock exactly as long as the
    process lives. The lock says whether a terraform runs; the record only says which one. A pipe instead of a file
    would end terraform in the middle of an apply if pneumoctl is killed.
    """

    def __init__(self, directory: Path) -> None:
        self.output = directory / "output"
        self.record = directory / "run.json"

    def is_running(self) -> bool:
        """Whether a terraform is running now."""
        return lock.holder(self.output) is not None

    def current(self) -> TerraformRun | None:
        """The terraform that is running now; None if there is none."""
        return (self.last() or TerraformRun(0, "terraform", "")) if self.is_running() else None

    def last(self) -> TerraformRun | None:
        """The current or last run; None if there is no record."""
        try:
            return TerraformRun(**json.loads(self.record.read_text()))
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

        `hear` gets each output line, `note` messages for the user. An interrupt (KeyboardInterrupt, SystemExit) is
        passed on to terraform once; after terraform's end it is raised again.
        """
        children: list[subprocess.Popen[bytes]] = []

        def begin() -> None:
            with _interrupts_deferred():
                children.append(self._start(argv, cwd, environment))

        try:
            # Not by Popen.poll: an interrupt within it can leave its lock taken, and no later call then sees the end.
            self._follow_to_end(begin, lambda: not self.is_running(), hear, note)
        except BaseException:
            if children and not self.is_running():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    children[0].wait(_REAP_S)
            raise
        return children[0].wait()

    def attach(self, hear: Callable[[str], None], note: Callable[[str], None]) -> bool:
        """Follow a running terraform from its first line to its end; False if none is running."""
        if not self.is_running():
            return False
        run = self.last()
        which = f"{run.command} (process {run.pid}, since {run.since})" if run else "an earlier run"
        begin = partial(note, f"{which} is still running: waiting for its end")
        self._follow_to_end(begin, lambda: not self.is_running(), hear, note)
        return True

    def _start(self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        make_private(self.output.parent)
        handle = os.open(self.output, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            lock.take(handle)
            os.ftruncate(handle, 0)
            self.record.unlink(missing_ok=True)  # so that no record names the previous process
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
                f"another terraform runs in {cwd}", "run the same command again: it waits for that one", Exit.LOCKED
            ) from None
        except FileNotFoundError:
            raise PneumoError("terraform is not installed", INSTALL, Exit.PREFLIGHT) from None
        finally:
            os.close(handle)
        now = datetime.now(UTC).isoformat("T", "seconds")
        self._save(TerraformRun(child.pid, " ".join(argv[:2]), now))
        return child

    def _save(self, run: TerraformRun) -> None:
        write_atomically(self.record, json.dumps(asdict(run)).encode(), 0o600)

    def _follow_to_end(
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
                if self.is_running():
                    self._interrupt(partial(follow, lines, lambda: ended() or self._has_begun(), hear, BEGIN_S), note)
                if not self._await_end(lines, ended, hear, note):
                    note(_continues(self.last()))
            except (KeyboardInterrupt, SystemExit):
                with contextlib.suppress(OSError):
                    note(_continues(self.last()))
            except OSError:  # the terminal is closed
                pass
            raise

    def _await_end(
        self, lines: Lines, ended: Callable[[], bool], hear: Callable[[str], None], note: Callable[[str], None]
    ) -> bool:
        """Whether terraform ended in time. It reports operations every 10 s, so it hangs if silent for SILENT_S."""
        for _ in range(SILENCES):
            before = self.output.stat().st_size
            if follow(lines, ended, hear, SILENT_S):
                return True
            run = self.last()
            if run and self.output.stat().st_size == before and self.is_running():
                note(f"terraform hangs: no output for {SILENT_S:.0f} s, so no operation is running. Ending it")
                os.kill(run.pid, signal.SIGINT)
        return False

    def _interrupt(self, await_start: Callable[[], object], note: Callable[[str], None]) -> None:
        """Send one SIGINT; a second one would make terraform abandon its operations.

        Waits until terraform has begun an operation: before that, it reports that it stops, but applies the whole plan.
        """
        run = self.last()
        if run and run.asked_to_end:
            run = None
        try:
            with contextlib.suppress(OSError):  # the terminal is closed
                note(
                    "interrupted: terraform finishes or cancels the operations that it has begun and writes its state. "
                    "This may take some minutes; after a second Ctrl-C pneumoctl does not wait for it"
                )
            if run and run.command in _INTERRUPTIBLE_LATER:
                await_start()
        finally:
            if run and self.is_running():
                self._save(replace(run, asked_to_end=True))
                os.kill(run.pid, signal.SIGINT)

    def _has_begun(self) -> bool:
        """Whether terraform has begun to refresh, create or destroy a resource."""
        return re.search(rb'"type":"(apply|refresh)_start"', self.output.read_bytes()) is not None


def _continues(run: TerraformRun | None) -> str:
    who = f"terraform (process {run.pid})" if run else "terraform"
    return (
        f"{who} goes on by itself until the operations that it has begun are done: usually seconds, minutes for a NAT "
        "gateway or an instance. Run the same command again: it waits for it, then resumes"
    )


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Raise interrupts at the end of the block, so that a terraform that was started has its record."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.signal(number, lambda got, _: arrived.append(got)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
