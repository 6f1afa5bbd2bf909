"""Whether the host of the store was created from this directory and never configured: nothing can be stored on it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pneumoctl.aws.ec2 import Instance
from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import documents
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.inventory import STORE
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context

ADDRESS = f'aws_instance.host["{STORE}"]'  # terraform's, of the host of the store
FILE = "new-store.json"
GONE = ("shutting-down", "terminated")


def host(context: Context) -> Instance | None:
    """The host of the store in AWS; None if it does not exist, or is being deleted."""
    found = (each for each in context.aws.instances(context.settings.stack) if each.name == STORE)
    return next((each for each in found if each.state not in GONE), None)


@contextmanager
def recorded(context: Context, changes: Sequence[Change]) -> Iterator[None]:
    """Record the host of the store if the block creates it, also if the block then fails.

    The journal is not used for this: a step with nothing to do writes no line there, and it may be missing.
    """
    creates = any(change.address == ADDRESS and change.action == "create" for change in changes)
    creates = creates and host(context) is None
    try:
        yield
    except PneumoError as error:
        creates = creates and error.code != Exit.LOCKED  # then another pneumoctl may have created it
        raise
    finally:
        with suppress(PneumoError):  # without the record, the host counts as configured
            if creates and (created := host(context)):
                context.stack.write(FILE, {"instance": created.id})


def configured(stack: Stack) -> None:
    """Record that the host of the store answered, and is about to be configured."""
    (stack.directory / FILE).unlink(missing_ok=True)


def never_configured(context: Context, instance: Instance) -> bool:
    """Whether this directory created the instance, and nobody can have configured it since.

    With a state in S3, another directory can have done so.
    """
    if WorkingCopy(context.stack.terraform).backend():
        return False
    try:
        return documents.load(context.stack.directory / FILE, lambda found: found["instance"]) == instance.id
    except (Damaged, KeyError):
        return False
