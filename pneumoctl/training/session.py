"""One run on the GPU in its one right order: guard 1 armed first, then the host, and guard 4 on every way out."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu import stop as gpu
from pneumoctl.gpu.signals import Interrupted, Interrupts
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.training import finalize, outcome, spot
from pneumoctl.training.finalize import host_seconds
from pneumoctl.training.host_link import Word
from pneumoctl.training.host_plan import Order
from pneumoctl.training.outcome import Ended
from pneumoctl.training.progress import LOST_CHECK_S, Contact, Watch
from pneumoctl.training.run_context import Closed, Done, Ground

BOOT_S = 600.0
STOPPING_S = 300.0  # what an instance that is still stopping may take before it can be started
WIND_DOWN_S = 100.0  # for a checkpoint when somebody interrupts


class Session:
    """A run that goes on. `course` may be broken off anywhere; `conduct` sees to what must then be done."""

    def __init__(self, ground: Ground, run: Run) -> None:
        self.ground, self.run, self.done = ground, run, Done()

    def course(self, order: Order) -> Ended | None:
        """All of it; None for a run that goes on without us."""
        ground = self.ground
        if self.run.spot:
            self._launch()
        else:
            self._arm()
            self._start()
            self._reach("started")
        run = self.run
        ground.link.await_up(BOOT_S)
        self._reach("up")
        self.done.begun = True
        ground.link.begin(order, lambda: host_seconds(run, scheduled_stop.now(ground.aws)))
        self._reach("begun")
        return None if run.detached else self.follow()

    def attach(self) -> Ended:
        """Instead of `course`, where the run goes on already."""
        self.done = Done(starting=True, begun=True)
        return self.follow()

    def _reach(self, phase: str) -> None:
        """Write the phase down; a full disk here ends no run there."""
        self.run = self.run.reached(phase, scheduled_stop.now(self.ground.aws))
        with suppress(OSError):
            runs.save(self.ground.stack, self.run)

    def _arm(self) -> None:
        aws, run = self.ground.aws, self.run
        scheduled_stop.arm(aws, run.stack, run.id, self.ground.host, datetime.fromisoformat(run.deadline))
        self._reach("armed")

    def _launch(self) -> None:
        """A spot instance cannot be had switched off, nor a stop armed for one that is none yet: so that comes second.

        Until then its own timer minds it, and so does whatever leads out of here.
        """
        ground = self.ground
        ground.note(f"ordering a spot {ground.host.type}; the account ends it at {self.run.deadline}")
        self.done.starting = True  # before it is asked for: the answer may get lost
        try:
            host = spot.launch(ground.aws, ground.host, self.run)
        except PneumoError as error:
            self.done.starting = "spot" not in error.details  # else EC2 says that it made none
            raise
        ground.move(host)
        self.run = replace(self.run, instance=host.id, address=host.private_ip)
        self._reach("started")
        self._arm()
        spot.seen(ground.aws, host)

    def _start(self) -> None:
        aws, host = self.ground.aws, self.ground.host
        deadline = time.monotonic() + STOPPING_S
        while (state := aws.states([host.id]).get(host.id, "gone")) != "stopped":
            if state != "stopping" or time.monotonic() > deadline:
                raise PneumoError(f"the GPU host {host.id} is {state}, not stopped", "pneumoctl gpu status")
            time.sleep(2)
        if not gpu.ends_by_itself(aws, host):
            message = f"EC2 would not stop the GPU host {host.id} when it powers itself off; nothing was started"
            raise PneumoError(message, "pneumoctl up", Exit.PREFLIGHT)
        self.ground.note(f"starting the GPU host {host.id} ({host.type}); the account stops it at {self.run.deadline}")
        self.done.starting = True  # before it is asked for: the answer may get lost
        aws.call("ec2", "start_instances", InstanceIds=[host.id])
        if scheduled_stop.read(aws, self.run.stack, self.run.id) is None:  # somebody took it away while we waited
            scheduled_stop.arm(aws, self.run.stack, self.run.id, host, datetime.fromisoformat(self.run.deadline))

    def follow(self) -> Ended:
        """Listen until the run ends: by itself, at its deadline, or because nothing moves any more."""
        now = time.monotonic()
        watch, contact = Watch(self.run.id, self.run.stall_s, now), Contact(checked=now)
        while True:
            word, now = self.ground.link.hear(1.0), time.monotonic()
            if word and word.over:
                return self._over(word)
            if word:
                self._heard(word, watch, now)
                contact.update(word.lost)
            if scheduled_stop.now(self.ground.aws) >= datetime.fromisoformat(self.run.deadline):
                return Ended("over") if self._off() else Ended("deadline", "its deadline is reached", Exit.CAP_REACHED)
            if contact.check_due(now):
                if self._off():
                    return Ended("over")
                if contact.host_is_on():
                    self.ground.note(f"the host does not answer; the run continues without this client: {contact.lost}")
            if watch.stalled(now) and not (contact.lost and self._wrote_lately()):
                return self._stuck(contact.lost)

    def _heard(self, word: Word, watch: Watch, now: float) -> None:
        if word.news is not None and watch.saw(word.news, now):
            self.ground.show(watch.news)

    def _over(self, word: Word) -> Ended:
        self.done.over, self.done.code = True, word.code
        return Ended("over")

    def _stuck(self, lost: str) -> Ended:
        if lost:
            return Ended("lost", f"nothing was heard of the host for {self.run.stall_s} s: {lost}")
        self.ground.note(f"nothing moved for {self.run.stall_s} s: the run is asked to stop")
        self.wind_down()
        return Ended("stalled", f"nothing moved for {self.run.stall_s} s")

    def _off(self) -> bool:
        return self.ground.aws.off(self.ground.host.id)

    def _wrote_lately(self) -> bool:
        """A host that only we cannot reach still writes to the bucket; not to know is yes: the deadline stays."""
        with suppress(PneumoError):
            at = self.ground.store.alive()
            return at is not None and scheduled_stop.now(self.ground.aws) - at < timedelta(seconds=self.run.stall_s)
        return True

    def wind_down(self) -> None:
        """Ask the run to stop with a checkpoint, and wait for its end, bounded."""
        looked = time.monotonic()
        until, asked = looked + WIND_DOWN_S, False
        while time.monotonic() < until:
            with suppress(PneumoError):
                if not asked:
                    self.ground.link.stop_run()
                    asked = True
            word = self.ground.link.hear(1.0)
            if word and word.over:
                self._over(word)
                return
            if time.monotonic() - looked >= LOST_CHECK_S:
                looked = time.monotonic()
                if self._off():
                    return


def conduct(session: Session, interrupts: Interrupts, go: Callable[[], Ended | None]) -> Closed | None:
    """Go, and close on every way out; None for a run that goes on without us."""
    ended: Ended | None
    try:
        with interrupts.raising():
            ended = go()
    except Interrupted as stop:
        ended = Ended("interrupted", str(stop), stop.code)
        if session.done.begun:
            _checkpoint(session, interrupts)
    except BaseException as error:  # whatever it is, a GPU may be on
        ended = outcome.broken(error, session.done.starting)
    if ended is None:
        session.ground.link.close(release=True)
        return None
    return finalize.close(session.ground, session.run, session.done, ended)


def _checkpoint(session: Session, interrupts: Interrupts) -> None:
    session.ground.note("asking the run to stop with a checkpoint (100 s at most); once more stops the GPU at once")
    with suppress(BaseException), interrupts.raising():  # what fails here, or interrupts again, leads to the stop
        session.wind_down()
