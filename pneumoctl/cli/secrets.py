"""`pneumoctl secrets`: rotate all secrets of a stack without an outage, and replace lost ones."""

from dataclasses import asdict

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import PneumoError
from pneumoctl.ssh import openssh
from pneumoctl.stack import audit
from pneumoctl.targets.aws.configuration import change
from pneumoctl.targets.aws.context import open_context
from pneumoctl.targets.aws.provisioning import ssh_key as stack_key
from pneumoctl.targets.aws.store import stack_secrets
from pneumoctl.terminal.console import console

app = typer.Typer(name="secrets", help="Rotate the secrets; replace lost ones (aws).", rich_markup_mode=None)

NONE_HERE = "its secrets are in files that only you can read"


@app.command()
@on_stack()
def new(invocation: Invocation, yes: Yes = False) -> int:
    """Make new secrets in place of lost ones.

    Results that were stored with the lost ones cannot be read any more. Refused if this machine or a host has the old
    ones: `up` reads them back from the hosts. The next `up` installs the new ones.
    """
    stack = invocation.stack
    stack.require_aws(NONE_HERE)
    with stack.locked("secrets new"), audit.recorded(stack, "secrets new", {"yes": yes}) as act:
        if not yes and not console.ask("Give up every result that was stored with the lost secrets?"):
            raise PneumoError("cancelled: nothing was changed", "answer y, or give --yes")
        act.begin()
        stack_secrets.make_instead_of_lost(stack, openssh.inventory(stack))
        act.changed = ["secrets"]
    console.result({"stack": stack.name, "changed": act.changed})
    console.text("the stack has new secrets on this machine; to install them on its hosts: pneumoctl up")
    return 0


@app.command("ssh-key")
@on_stack()
def ssh_key(invocation: Invocation, yes: Yes = False) -> int:
    """Have every host accept the stack's SSH key.

    For a key that is missing or damaged, which is then made anew, or that is refused. Hosts that refuse it restart and
    then accept no other; the stack does not serve meanwhile. The GPU host takes the key at its next start. If the
    command was interrupted, run it again.
    """
    settings, stack = invocation
    stack.require_aws("it is not reached over SSH")
    with (
        stack.locked("secrets ssh-key"),
        stack.gpu_locked("secrets ssh-key"),
        audit.recorded(stack, "secrets ssh-key", {"yes": yes}) as act,
    ):
        context = open_context(settings, stack)
        act.arn = context.account.arn
        changed = act.changed = stack_key.install(context, yes, act)
    console.result({"stack": stack.name, "changed": changed})
    console.text(
        f"{', '.join(changed)}: the key is accepted" if changed else "nothing to do: every host accepts the key"
    )
    return 0


@app.command()
@on_stack()
def rotate(invocation: Invocation, yes: Yes = False) -> int:
    """Replace every secret of the stack without an outage.

    The new secrets are added beside the old ones, then the old ones are removed. An interrupted rotation resumes when
    you run the command again. Results that were sealed with an earlier key stay readable. Users keep their passwords,
    and client programs their tokens.
    """
    settings, stack = invocation
    stack.require_aws(NONE_HERE)
    task = change.Task("secrets rotate", update=())
    with stack.locked("secrets rotate"), audit.recorded(stack, "secrets rotate", {"yes": yes}) as act:
        secrets = stack.require_secrets()
        if not yes and not console.ask("Replace every secret of the stack?"):
            raise PneumoError("cancelled: nothing was changed", "answer y, or give --yes")
        # This also resumes an interrupted rotation. If that one was interrupted in its second half, every host already
        # accepts its new secrets, so newer ones can be added. The tests interrupt it at every point.
        secrets = secrets.start_rotation()
        stack.write("secrets.json", asdict(secrets))
        first = change.change(settings, stack, task, True, act)
        stack.write("secrets.json", asdict(secrets.finish_rotation()))
        second = change.change(settings, stack, task, True, act)
    changed = [*first["changed"], *second["changed"]]
    console.result({**second, "changed": changed})
    console.text(f"every secret is new ({len(changed)} steps on the hosts)")
    for line in change.proof_lines(second):
        console.text(line)
    return 0
