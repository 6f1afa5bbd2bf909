"""The next command after an error on a stack that is being removed: `up` would make it, and its cost, again."""

import re
from contextlib import suppress

from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.errors import PneumoError
from pneumoctl.stack import lock
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import unfinished_teardown

_UP = re.compile(r"\bpneumoctl up\b")


def name_teardown(stack: Stack, error: PneumoError) -> None:
    """Name the teardown in an error that advises `up`, if one works on the stack or was not completed."""
    if not _UP.search(error.hint):
        return
    with suppress(PneumoError):  # what cannot be read here must not hide the error
        if (holder := lock.holder(stack.lock)) is not None:
            if holder.get("command") == "teardown":
                error.message += f"; pneumoctl teardown (process {holder.get('pid')}) works on the stack"
                error.hint = "pneumoctl status, until it has ended"
        elif unfinished := unfinished_teardown.find(stack):
            run = Terraform(stack.terraform, {}, stack.layout.logs).current
            fault = unfinished_teardown.fault(unfinished, run is not None and run.command == "terraform apply")
            error.message += f"; {fault.what}"
            error.hint = fault.next
