"""`pneumoctl configure`: make the hosts what their roles say; the releases that serve stay."""

import os
from typing import Annotated

import typer

from pneumoctl.cli.options import Config, Json, NoColor, OfflineBundle, Quiet, StackName, Yes, resolved
from pneumoctl.gpu import orphans
from pneumoctl.ssh import openssh
from pneumoctl.stack import audit
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import change, context
from pneumoctl.terminal.console import console

Hosts = Annotated[list[str] | None, typer.Argument(help="Names of hosts; all if left out.", metavar="[HOST]...")]


def configure(
    host: Hosts = None,
    diff: Annotated[bool, typer.Option("--diff", "--dry-run", help="Show what differs and stop.")] = False,
    offline_bundle: OfflineBundle = None,
    stack: StackName = None,
    config: Config = None,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Install, render, judge, swap and probe every file and service on the hosts of a stack on aws.

    All hosts at once; one that fails does not stop the others (exit 6 names it). Safe to repeat: what is as it
    should be is left alone. Exit 5: another pneumoctl works; 10: a service did not come back and was put back.
    """
    settings, place = choose(
        settings_.load({"stack": stack, "offline_bundle": resolved(offline_bundle)}, config, os.environ)
    )
    context.require(place)
    orphans.mind(place)
    chosen = [openssh.choose(openssh.inventory(place), name).name for name in host or ()]
    task = change.Task(" ".join(("configure", *chosen)), fresh=(), only=chosen, prove=not chosen)
    with place.locked("configure"):
        if diff:
            lines, differences, todo = change.preview(settings, place, task)
            for line in (*lines, *differences):
                console.text(line)
            changes = [{"host": name, "step": step.title} for name, steps in todo.items() for step in steps]
            console.result({"stack": place.name, "changes": changes, "differences": differences})
            return 0
        with audit.kept(place, "configure", {"yes": yes, "hosts": " ".join(chosen)}) as act:
            document = change.change(settings, place, task, yes, act)
    console.result(document)
    change.tell(document, "the hosts are as they should be")
    return 0
