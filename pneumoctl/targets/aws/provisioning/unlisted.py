"""What a stack has in AWS and terraform's state does not list: imported, or an error, as `up` would make it twice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from pneumoctl.aws.leftovers import Remaining
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.events import Report
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import PneumoError
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

# What to do: nothing; raise an error; first import what a killed terraform made; import everything.
Recover = Literal["nothing", "check", "killed", "all"]
SHOWN = 5  # resources that a message names


def settle(context: Context, search: Callable[[], list[Remaining]], recover: Recover, report: Report) -> None:
    """Compare the state with what exists in AWS, and import what it does not list, or raise PneumoError.

    A search that AWS denies ends a command that would make something; one that only reads goes on with a warning.
    """
    terraform = context.terraform
    if terraform.outdated:  # it lacks what is being made right now
        return
    try:
        existing = search()
    except PneumoError as error:
        if recover != "check":
            raise
        console.warn(f"whether the state lists all that the stack has in AWS is not known: {error.message}")
        return
    in_state = {resource.address: resource.id for resource in terraform.resources()}
    unlisted = recovery.unlisted(existing, in_state)
    if recover != "check" and (terraform.suspect or (unlisted and recover == "all")):
        recovery.recover(terraform, context.aws, existing, report)
    elif unlisted and recover == "check" and _is_locked(context):
        console.warn("another machine is changing the stack right now: what is shown may be out of date")
    elif unlisted and not terraform.suspect:
        raise _error(context, unlisted, bool(in_state))


def _is_locked(context: Context) -> bool:
    """Whether a terraform, also on another machine, holds the lock of a state in S3; False if that is not known."""
    backend = WorkingCopy(context.terraform.directory).backend()
    if not backend:
        return False
    with suppress(PneumoError):
        context.aws.call("s3", "head_object", Bucket=backend["bucket"], Key=f"{backend['key']}.tflock")
        return True
    return False


def _error(context: Context, unlisted: Sequence[recovery.Unlisted], any_listed: bool) -> PneumoError:
    settings = context.settings
    named = ", ".join(map(str, unlisted[:SHOWN])) + (f" and {len(unlisted) - SHOWN} more" if unlisted[SHOWN:] else "")
    why = "it is older than the stack, or another machine changed it" if any_listed else "it was lost, or is elsewhere"
    return PneumoError(
        f"terraform's state here does not list {counted(len(unlisted), 'resource')} that stack {settings.stack} has in "
        f"{settings.region}: {named}; {why}. Nothing was changed",
        "work where the newest state is, on that machine or with its state_bucket; or, if it is lost, take the stack "
        "over as it is in AWS: pneumoctl up --adopt",
        unlisted=[{"address": each.address, "id": each.id} for each in unlisted],
    )
