"""Trainings beside a teardown: ask before they are ended, end them, and keep others from starting."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.stack import runs
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.terminal.console import console
from pneumoctl.training import collect
from pneumoctl.training.progress import CHECKPOINT_S

END_S = CHECKPOINT_S + 80.0  # for a pneumoctl to save its run's checkpoint and to stop the GPU


@dataclass(frozen=True)
class Trainings:
    """What uses the GPU hosts: runs, by their leases, and a pneumoctl of this machine (`follower`: of its lock).

    `unknown`: why the leases of hosts that are on could not be read.
    """

    leases: tuple[Lease, ...]
    follower: Mapping[str, Any] | None
    unknown: str = ""

    def __bool__(self) -> bool:
        return bool(self.leases or self.follower or self.unknown)

    def __str__(self) -> str:
        uses = [str(lease) for lease in self.leases]
        if self.unknown:
            uses.append(f"a run that is not known ({self.unknown})")
        if self.follower:
            uses.append(f"pneumoctl {self.follower['command']} (process {self.follower['pid']})")
        return " and ".join(uses)


def find(context: Context, held: ExitStack) -> Trainings:
    """The trainings that are under way. Holds the GPU host's lock in `held`, unless a pneumoctl has it.

    Raises PneumoError (exit 5) if a pneumoctl has it that cannot be ended from here.
    """
    follower: Mapping[str, Any] | None = None
    try:
        held.enter_context(context.stack.gpu_locked("teardown"))
    except PneumoError as error:
        holder = error.details.get("holder")
        if error.code != Exit.LOCKED or not isinstance(holder, Mapping) or holder.get("host") != socket.gethostname():
            raise
        follower = holder
    stack, hosts = context.settings.stack, context.aws.instances(context.settings.stack)
    try:
        return Trainings(tuple(orphans.leases(context.aws, hosts, stack).values()), follower)
    except PneumoError as error:
        return Trainings((), follower, error.message)


def require_agreement(found: Trainings, agreed: bool) -> None:
    """Ask whether the trainings may be ended, unless `agreed`. Raises PneumoError (exit 5) if they may not."""
    if agreed or not found:
        return
    if not console.ask(f"The GPU host is used by {found}. End that?"):
        run = found.leases[0].run if found.leases else ""
        hint = f"wait for it; or end it with a checkpoint: pneumoctl runs cancel {run}".rstrip()
        raise PneumoError(
            f"nothing was destroyed: the GPU host is used by {found}",
            f"{hint}; or: pneumoctl teardown --end-training",
            Exit.LOCKED,
        )


def end(context: Context, found: Trainings, held: ExitStack) -> None:
    """End the runs, with a receipt each, and stop all GPU hosts. Raises PneumoError if one of this fails, after all.

    Run records that cannot be read do not stop the teardown.
    """
    if found.follower:
        _end_follower(context, found.follower, held)
    failures = list(_end_runs(context))
    provision.stop_training_hosts(context, spare_leased=False)
    if failures:
        raise failures[0]


def _end_runs(context: Context) -> Iterator[PneumoError]:
    """End the runs that no pneumoctl follows; yields why the GPU of a run is not confirmed off."""
    opened, hosts = list[runs.Run](), {host.id: host for host in context.aws.instances(context.settings.stack)}
    with suppress(PneumoError):
        opened = runs.list_open(context.stack)
    for run in opened:
        if run.instance in hosts and context.stack.hosts() is not None:
            console.note(f"run {run.id} is ended by this teardown", "yellow")
            try:
                closed = collect.finalize_unattended(context.aws, context.stack, hosts[run.instance], run, "teardown")
            except PneumoError as error:
                yield error
                continue
            if closed.stop_failure is not None:
                yield closed.stop_failure


def _end_follower(context: Context, follower: Mapping[str, Any], held: ExitStack) -> None:
    """End the pneumoctl that follows a run here: it saves a checkpoint, stops the GPU and writes the receipt.

    If it does not end in time, this is only a warning: the caller stops the GPU.
    """
    process = int(follower["pid"])
    who = f"pneumoctl {follower['command']} (process {process})"
    console.note(f"asking {who} to save a checkpoint and end the run: {END_S:.0f} s at most", "yellow")
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, signal.SIGTERM)
        os.kill(process, signal.SIGCONT)  # it may be suspended (Ctrl-Z), and would never see the first signal
    try:
        held.enter_context(context.stack.gpu_locked("teardown", END_S))
    except PneumoError as error:
        if error.code != Exit.LOCKED:
            raise
        console.warn(f"{who} did not end within {END_S:.0f} s: its run is ended without it")
