"""Reach the GPU hosts of a stack by their tags: AWS credentials suffice, whatever this machine has under its name."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.gpu.stop import confirming, unconfirmed
from pneumoctl.stack import tagged
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context

# Why a stack on this machine has no use for a command, and which command may be meant.
NO_GPU_HOST = ("it has no GPU host", "pneumoctl gpu reap, for the GPU hosts of every stack")


@contextmanager
def reached(settings: Settings, stack: Stack, command: str, ask: bool) -> Iterator[Aws]:
    """The stack's AWS. `ask`: whether AWS is asked by the tags alone, because the command line names the region.

    What prevents the command is exit code 7, because the GPU may be on. Raises PneumoError (usage) for a stack that is
    not on aws, if nothing says in which region it is, or if there is nothing of it in the region.
    """
    if not ask and stack.target:
        stack.require_aws(*NO_GPU_HOST)
    with confirming(settings, stack.name):
        try:
            aws = Aws(settings.profile, settings.region) if ask else context.login(settings, stack)[0]
        except PneumoError as error:
            if error.details.get("aws") == "no region":
                raise _without_region(stack, command) from error
            raise
        if (ask or not stack.target) and not aws.instances(stack.name):
            _require_here(settings, stack, aws)
        yield aws


def require_location(settings: Settings, stack: Stack) -> None:
    """Raise PneumoError (exit code 7) if the stack's files do not say whether and where it is on aws."""
    try:
        stack.cloud()
    except PneumoError as error:
        hint = f"{_stop_command(settings, stack)}, which needs no file of the stack; to repair the stack: {error.hint}"
        raise unconfirmed(settings, stack.name, error.message, hint) from error


def no_longer_here(settings: Settings, stack: Stack) -> PneumoError:
    """The error (exit code 7) for a run on the GPU host of a stack that is not on this machine any more."""
    why = "the stack is no longer on this machine"
    return unconfirmed(settings, stack.name, why, _stop_command(settings, stack))


def _stop_command(settings: Settings, stack: Stack) -> str:
    return f"pneumoctl gpu stop --stack {shlex.quote(stack.name)} --region {settings.region or 'REGION'}"


def _require_here(settings: Settings, stack: Stack, aws: Aws) -> None:
    """Raise PneumoError (usage) unless a stack of which AWS lists nothing is on this machine, with this account."""
    cloud = tagged.saved_cloud(stack)
    if cloud is None or cloud.region != aws.region:
        raise _unknown(aws, stack)
    context.login(settings, stack)


def _without_region(stack: Stack, command: str) -> PneumoError:
    """The error for a stack that is not on this machine, if nothing says in which region it is."""
    message = f"there is no stack {stack.name!r} on this machine, and no AWS region is set to look for it"
    return PneumoError(message, f"pneumoctl {command} --stack {shlex.quote(stack.name)} --region REGION", Exit.USAGE)


def _unknown(aws: Aws, stack: Stack) -> PneumoError:
    """The error for a stack that is neither on this machine nor in the region: perhaps its name is another one."""
    on = [f"{host.id} of stack {host.stack}" for host in orphans.running_hosts(aws)]
    here = "the stack {!r} on this machine is not there" if stack.exists else "there is no stack {!r} on this machine"
    message = f"{here.format(stack.name)}, and no host of that name in {aws.region} (account {aws.identity().id})"
    others = f"GPU hosts that are on in {aws.region}: {', '.join(on) or 'none'}"
    return PneumoError(message, f"name it with --stack and --region; {others}", Exit.USAGE)
