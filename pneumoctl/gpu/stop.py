"""Stop a GPU host, and prove that it is off."""

import time
from collections.abc import Callable

from pneumoctl.aws.ec2 import HALTED, ROLE_TAG, STACK_TAG, Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import serial_console
from pneumoctl.terminal.console import console

POLL = 3.0  # seconds


def rest(
    aws: Aws,
    stack: str,
    expected: bool,
    patience: float = 0.0,
    spare: Callable[[Instance], bool] = lambda _: False,
) -> None:
    """Stop every training host that is not stopped; a new one has `patience` seconds to end its first boot.

    `spare`: those that are left alone, because a run goes on there. `expected`: whether there may be one. Then
    whatever keeps us from knowing that it is stopped, Ctrl-C included, is a PneumoError with exit code 7; else what
    fails here is no news beside what brought us here.
    """
    try:
        _rest(aws, stack, time.monotonic() + patience, spare)
    except PneumoError as error:
        if error.code == Exit.GPU_NOT_STOPPED:
            raise
        if expected:
            raise unconfirmed(aws, stack, error.message) from error
    except (KeyboardInterrupt, SystemExit) as error:
        if expected:
            raise unconfirmed(aws, stack, "interrupted") from error
        raise


def ends_by_itself(aws: Aws, host: Instance) -> bool:
    """Whether a host that powers itself off bills no more and, unless it is a spot one, is kept: guards 2 and 3."""
    name = "instanceInitiatedShutdownBehavior"
    said = aws.call("ec2", "describe_instance_attribute", InstanceId=host.id, Attribute=name)
    return bool(said["InstanceInitiatedShutdownBehavior"]["Value"] == ("terminate" if host.spot else "stop"))


def unconfirmed(aws: Aws, stack: str, why: str) -> PneumoError:
    """Exit code 7, with the commands that tell and that stop."""
    where = f"--region {aws.region}" + (f" --profile {aws.profile}" if aws.profile else "")
    tags = f"Name=tag:{STACK_TAG},Values={stack} Name=tag:{ROLE_TAG},Values=train"
    look = (
        f"aws ec2 describe-instances {where} --filters {tags} --query 'Reservations[].Instances[].[InstanceId,State]'"
    )
    return PneumoError(
        f"the GPU host of stack {stack} is not confirmed stopped and may be billing: {why}",
        f"{look}; one that runs: aws ec2 stop-instances {where} --instance-ids ID (spot: terminate-instances)",
        Exit.GPU_NOT_STOPPED,
    )


def _rest(aws: Aws, stack: str, deadline: float, spare: Callable[[Instance], bool]) -> None:
    while running := [
        host for host in aws.instances(stack) if host.role == "train" and host.state not in HALTED and not spare(host)
    ]:
        if time.monotonic() < deadline and not all(_booted(aws, host) for host in running):
            time.sleep(POLL)
            continue
        console.note(f"stopping the GPU host {', '.join(host.id for host in running)}")
        aws.stop(running)
        return


def _booted(aws: Aws, host: Instance) -> bool:
    """Asked only while there is time to wait: nothing but EC2's own word counts when it is to be stopped."""
    try:
        return serial_console.boot_mark(aws.console_output(host.id)) is not None
    except PneumoError:
        return False


SETTLE_S = 10.0  # EC2 may go on saying "stopped" for a moment after a start whose answer was lost
