"""`pneumoctl plan`: what `up` would do, as steps and as differences of files; changes nothing."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoctl.options import Config, Json, NoColor, Quiet, StackName, Target

if TYPE_CHECKING:
    from pneumoctl.execute import Reached
    from pneumoctl.plan import Plan, Put, Step
    from pneumoctl.plans.up import Wishes
    from pneumoctl.settings import Settings
    from pneumoctl.stack import Ports, Stack


@dataclass(frozen=True)
class Prepared:
    """The plan of `up` with what it was made from and the hosts it is for."""

    stack: "Stack"
    wishes: "Wishes"
    ports: "Ports"
    plan: "Plan"
    hosts: "Mapping[str, Reached]"

    def changes(self) -> "list[Step]":
        """The steps that have something to do now."""
        from pneumoctl.apply import changes

        return changes(self.plan, self.hosts)


def prepare(settings: "Settings", place: "Stack") -> Prepared:
    """Preflight and plan for a stack; says aloud which port is moved. Changes nothing."""
    from pneumoctl import facts, preflight
    from pneumoctl.apply import reach
    from pneumoctl.console import console
    from pneumoctl.plans import up
    from pneumoctl.stack import Secrets

    preflight.require(preflight.rows(settings, place))
    ports = facts.ports(settings, place)
    for name, port in ports.given.items():
        saved = place.ports()
        if port != ports.wished[name] and not (saved and saved.given[name] == port):
            console.note(f"port {ports.wished[name]} is taken by another program: {name} uses {port}", "yellow")
    wishes = facts.wishes(settings, place, place.secrets() or Secrets.generate(), ports)
    return Prepared(place, wishes, ports, up.plan(wishes), reach(place, wishes.inventory))


def differences(prepared: Prepared) -> list[str]:
    """Unified differences between the files on the hosts and the wished ones; secret contents are not shown."""
    from pneumoctl.plan import Put

    lines: list[str] = []
    for step in prepared.changes():
        host = prepared.hosts[step.hosts[0]].transport
        for put in (action for action in step.actions if isinstance(action, Put) and not action.stamp):
            lines += _difference(put, host.read(put.path))
    return lines


def _difference(put: "Put", live: bytes | None) -> list[str]:
    if live == put.content.encode():
        return []
    if put.secret:
        return [f"{put.path}: secret contents {'differ' if live is not None else 'are new'}"]
    old, new = (live or b"").decode(errors="replace").splitlines(), put.content.splitlines()
    return list(difflib.unified_diff(old, new, f"{put.path} (now)", f"{put.path} (planned)", lineterm=""))


def plan(
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there are changes.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Show what `up` would change.

    Steps, and the differences of every file; secret contents are not shown. Changes nothing.
    """
    from pneumoctl import settings as settings_
    from pneumoctl.console import console
    from pneumoctl.errors import Exit
    from pneumoctl.plan import describe
    from pneumoctl.stack import choose

    settings, place = choose(settings_.load({"stack": stack, "target": target}, config, os.environ))
    if settings.target == "aws":
        from pneumoctl.commands.aws import plan as aws

        return aws.plan(settings, place, exit_code)
    prepared = prepare(settings, place)
    todo = prepared.changes()
    changed = differences(prepared)
    for line in describe(prepared.plan, lambda step: step in todo) if todo else ["nothing to do"]:
        console.text(line)
    for line in changed:
        console.text(line)
    console.text("price: nothing, the stack runs on this machine")
    console.result(
        {
            "stack": settings.stack,
            "target": settings.target,
            "changes": [{"step": step.title, "hosts": list(step.hosts)} for step in todo],
            "differences": changed,
            "usd_per_hour": 0.0,
            "usd_per_month": 0.0,
        }
    )
    return Exit.CHANGES if todo and exit_code else Exit.DONE
