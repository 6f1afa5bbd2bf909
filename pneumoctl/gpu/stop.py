"""Stop a GPU host, and prove that it is off."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from pneumoctl.aws.ec2 import HALTED, ROLE_TAG, STACK_TAG, Aws, Instance
from pneumoctl.errors import Exit, PneumoError, unexpected
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.ssh import serial_console
from pneumoctl.terminal.console import console

POLL_S = 3.0
FIRST_BOOT_S = 300.0  # for the boot script of a new GPU host, which then powers it off
SETTLE_S = 10.0  # after a start whose answer got lost EC2 may still say "stopped" for a moment


class Location(Protocol):
    """Where the hosts of a stack are: an Aws, or the settings, if there is no session with AWS yet."""

    @property
    def profile(self) -> str:
        """The AWS profile, empty for the default one."""

    @property
    def region(self) -> str:
        """The AWS region, empty if the environment or the profile says it."""


def stop_training_hosts(
    aws: Aws,
    stack: str,
    expected: bool,
    boot_s: float = 0.0,
    leave_on: Callable[[Instance], bool] = lambda _: False,
    read_console: Callable[[str], str] | None = None,
) -> None:
    """Stop every training host that is not stopped; a new one gets `boot_s` seconds to finish its first boot.

    `leave_on`: hosts on which a run is under way. `read_console`: reads the console of an instance that boots.
    `expected`: whether there may be a training host. If so, anything that prevents the proof of the stop, Ctrl-C
    included, raises PneumoError with exit code 7; else the caller's own error matters more, and only a host that is
    known not to be stopped raises.
    """
    try:
        with confirming(aws, stack) if expected else nullcontext():
            _stop(aws, stack, time.monotonic() + boot_s, leave_on, read_console or aws.console_output)
    except PneumoError as error:
        if expected or error.code == Exit.GPU_NOT_STOPPED:
            raise


@contextmanager
def stopping_at_end(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the end, also after a failure: it stops the GPU hosts and proves it, or raises.

    After it, a failure with exit code 7 because a proof was prevented becomes what prevented it: AWS's error, Ctrl-C.
    """
    proven = False
    try:
        try:
            yield
        finally:
            stop()
            proven = True
    except PneumoError as error:
        if proven and error.code == Exit.GPU_NOT_STOPPED and error.__cause__ is not None:
            raise error.__cause__ from None
        raise


@contextmanager
def confirming(location: Location, stack: str) -> Iterator[None]:
    """Turn whatever prevents the proof that a GPU host is off into exit code 7: any error, and Ctrl-C.

    An unusable AWS profile is one of them: log in inside of it. A usage error and a lock stay what they are: their
    commands have not begun.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, PneumoError) and error.code in (Exit.GPU_NOT_STOPPED, Exit.USAGE, Exit.LOCKED):
            raise
        raise prevented(location, stack, error) from error


@contextmanager
def requiring_answer(location: Location, stack: str, may_have_gpu: bool) -> Iterator[None]:
    """Turn an error of AWS into exit code 7 if the stack may have a GPU host: whether that is on is not known then.

    Usage errors and errors of anything but AWS stay what they are.
    """
    try:
        yield
    except PneumoError as error:
        if not may_have_gpu or "aws" not in error.details or error.code in (Exit.GPU_NOT_STOPPED, Exit.USAGE):
            raise
        raise prevented(location, stack, error) from error


def prevented(location: Location, stack: str, error: BaseException) -> PneumoError:
    """The error with exit code 7 for what prevented the proof that a GPU host is off."""
    if isinstance(error, PneumoError):
        usable = error.details.get("aws") != "profile"
        return unconfirmed(location, stack, error.message, error.hint, usable)
    return unconfirmed(location, stack, unexpected(error) if isinstance(error, Exception) else "interrupted")


def unlisted(leases: Iterable[Lease], listed: Iterable[Instance]) -> list[Instance]:
    """The instances with a lease that are not listed. EC2 may list a new one only later; a terminated one it omits."""
    known = {host.id for host in listed}
    return [
        Instance(id, id, "train", "", "", lease.until, "", "", spot=lease.act == scheduled_stop.TERMINATE)
        for lease in leases
        for id in lease.instances
        if id not in known
    ]


def shutdown_ends_billing(aws: Aws, host: Instance) -> bool:
    """Whether EC2 stops the host, or terminates a spot instance, when it powers itself off: guards 2 and 3 need it."""
    name = "instanceInitiatedShutdownBehavior"
    attribute = aws.call("ec2", "describe_instance_attribute", InstanceId=host.id, Attribute=name)
    return bool(attribute["InstanceInitiatedShutdownBehavior"]["Value"] == ("terminate" if host.spot else "stop"))


def in_use(aws: Aws, stack: str, host: Instance, state: str, run: str = "") -> PneumoError:
    """The error for a GPU host that should be stopped and is not. `run`: the caller's own, whose lease does not count.

    Its code is 5 if another run uses the host, and 7 if it is on without a lease.
    """
    others = [lease for lease in scheduled_stop.listed(aws, stack) if lease.run != run]
    if lease := scheduled_stop.lease_covering(others, host.id, scheduled_stop.now(aws)):
        return PneumoError(f"the GPU host {host.id} is used by {lease}", lease.next_command, Exit.LOCKED)
    if state in HALTED or state == "gone":
        return PneumoError(f"the GPU host {host.id} is {state}, not stopped", "pneumoctl up")
    return unconfirmed(aws, stack, f"{host.id} is {state}", "pneumoctl gpu stop")


def unconfirmed(location: Location, stack: str, why: str, hint: str = "", usable: bool = True) -> PneumoError:
    """The error with exit code 7, and the commands that show and stop the host; `hint`: what to do before them.

    `usable`: whether the AWS profile can be used.
    """
    return PneumoError(
        f"the GPU host of stack {stack} is not confirmed stopped and may be billing: {why}",
        f"{hint}{'; ' if hint else ''}{aws_commands(location, stack, usable)}",
        Exit.GPU_NOT_STOPPED,
    )


def aws_commands(location: Location, stack: str = "", usable: bool = True) -> str:
    """The commands that find and stop the GPU host of a stack, or those of all stacks, without pneumoctl."""
    profile = location.profile if usable else "PROFILE"
    where = f"--region {location.region or 'REGION'}" + (f" --profile {profile}" if profile else "")
    tags = f"Name=tag:{STACK_TAG},Values={stack} " if stack else ""
    tags += f"Name=tag:{ROLE_TAG},Values=train"
    query = "--query 'Reservations[].Instances[].[InstanceId,State]'"
    find_command = f"aws ec2 describe-instances {where} --filters {tags} {query}"
    stop_command = f"aws ec2 stop-instances {where} --instance-ids ID (a spot instance: terminate-instances)"
    return f"find it: {find_command}; stop it: {stop_command}"


def _stop(
    aws: Aws,
    stack: str,
    boot_until: float,
    leave_on: Callable[[Instance], bool],
    read_console: Callable[[str], str],
) -> None:
    while running := [
        host
        for host in aws.instances(stack)
        if host.role == "train" and host.state not in HALTED and not leave_on(host)
    ]:
        if time.monotonic() < boot_until and not all(_has_booted(read_console, host) for host in running):
            time.sleep(POLL_S)
            continue
        console.note(f"stopping the GPU host {', '.join(host.id for host in running)}")
        aws.stop(running)
        return


def _has_booted(read_console: Callable[[str], str], host: Instance) -> bool:
    """Whether the console shows the end of the first boot; an unreadable console only costs waiting time."""
    try:
        return serial_console.boot_mark(read_console(host.id)) is not None
    except PneumoError:
        return False
