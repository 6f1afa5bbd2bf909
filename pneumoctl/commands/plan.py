"""`pneumoctl plan`: what `up` would do, as steps and as differences of files; changes nothing."""

import difflib
import os
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pneumoctl.options import Config, Json, NoColor, Quiet, StackName, Target


@dataclass(frozen=True)
class Prepared:
    """A plan with the hosts it is for."""

    stack: Any
    wishes: Any
    ports: Any
    plan: Any
    hosts: Any

    def changes(self) -> list[Any]:
        """The steps that have something to do now."""
        from pneumoctl.apply import changes

        return changes(self.plan, self.hosts)


def prepare(settings: Any, place: Any, save: bool) -> Prepared:
    """Preflight and plan for a stack; with `save` a moved port is said aloud. Changes nothing."""
    from pneumoctl import facts, preflight
    from pneumoctl.apply import reach
    from pneumoctl.console import console
    from pneumoctl.errors import Exit, PneumoError
    from pneumoctl.plans import up
    from pneumoctl.stack import Secrets

    if settings.target != "local":
        raise PneumoError(f"the target {settings.target} is not built yet", "pneumoctl up --target local", Exit.USAGE)
    preflight.require(preflight.rows(settings, place))
    ports = facts.ports(settings, place)
    for name, port in ports.given.items():
        if save and port != ports.wished[name]:
            console.note(f"port {ports.wished[name]} is taken by another program: {name} uses {port}", "yellow")
    wishes = facts.wishes(settings, place, place.secrets() or Secrets.generate(), ports)
    return Prepared(place, wishes, ports, up.plan(wishes), reach(place, wishes.inventory))


def differences(prepared: Prepared) -> list[str]:
    """Unified differences between the files on the hosts and the wished ones; secret contents are not shown."""
    from pneumoctl.plan import Put

    lines: list[str] = []
    for step in prepared.changes():
        for action in step.actions:
            if not isinstance(action, Put) or "/stamps/" in action.path or action.path.endswith(".complete"):
                continue
            live = prepared.hosts[step.hosts[0]].transport.read(action.path)
            if live == action.content.encode():
                continue
            if action.secret:
                lines.append(f"{action.path}: secret contents {'differ' if live is not None else 'are new'}")
                continue
            old = (live or b"").decode(errors="replace").splitlines()
            lines += difflib.unified_diff(
                old, action.content.splitlines(), f"{action.path} (now)", f"{action.path} (planned)", lineterm=""
            )
    return lines


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
    from pneumoctl.stack import find

    settings = settings_.load({"stack": stack, "target": target}, config, os.environ)
    prepared = prepare(settings, find(settings.stack), save=False)
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
