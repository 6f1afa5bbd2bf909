"""`pneumoctl secrets`: show the login of the web page, and rotate all secrets without an outage."""

from dataclasses import asdict

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import PneumoError
from pneumoctl.stack import audit
from pneumoctl.targets.aws import change
from pneumoctl.targets.aws.desired import LOGIN
from pneumoctl.terminal.console import console

app = typer.Typer(
    name="secrets", help="Show the page's login; rotate the secrets (aws).", rich_markup_mode=None, no_args_is_help=True
)

NONE_HERE = "its web page has no login"


@app.command()
@on_stack()
def show(invocation: Invocation) -> int:
    """Print the login of the web page."""
    stack = invocation.stack
    stack.require_aws(NONE_HERE)
    secrets, hosts = stack.secrets(), stack.hosts()
    password = secrets.web_password if secrets else ""
    url = f"https://{hosts.bastion.public_address}" if hosts else ""
    console.result({"stack": stack.name, "url": url, "user": LOGIN, "password": password})
    console.text(f"{url}  user {LOGIN}  password {password}")
    return 0


@app.command()
@on_stack()
def rotate(invocation: Invocation, yes: Yes = False) -> int:
    """Replace every secret of the stack without an outage.

    The new secrets are added beside the old ones, then the old ones are removed. An interrupted rotation resumes when
    you run the command again. Results that were sealed with an earlier key stay readable.
    """
    settings, stack = invocation
    stack.require_aws(NONE_HERE)
    task = change.Task("secrets rotate", update=())
    with stack.locked("secrets rotate"), audit.recorded(stack, "secrets rotate", {"yes": yes}) as act:
        secrets = stack.secrets()
        if secrets is None:
            raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")
        if not yes and not console.ask("Replace every secret of the stack? The page's login changes, too."):
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
    console.text(f"every secret is new ({len(changed)} steps on the hosts); the page's login: pneumoctl secrets show")
    for line in change.proof_lines(second):
        console.text(line)
    return 0
