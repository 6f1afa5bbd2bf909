"""`pneumoctl audit`: who changed what, and whether the audit log is complete and unchanged."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import PneumoError
from pneumoctl.stack import audit as audit_
from pneumoctl.stack.hash_chain import Entry, Verification
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted


@on_stack()
def audit(
    invocation: Invocation,
    verify: Annotated[bool, typer.Option("--verify", help="Check that no line was changed or removed.")] = False,
) -> int:
    """Show who changed what in the stack.

    The record remains after the stack is gone. With --verify, exit code 1 if a line was changed or removed; the message
    names the line.
    """
    stack = invocation.stack
    chain = audit_.chain(stack)
    if verify:
        return _verdict(stack.name, chain.verify())
    acts = _acts(chain.entries())
    console.result({"stack": stack.name, "file": str(chain.path), "acts": acts})
    if not acts:
        console.text(f"no change is recorded for stack {stack.name}")
        return 0
    rows = [(act["at"][:19] + "Z", act["who"], _words(act), act["plan"][:12], _result(act)) for act in acts]
    styles = ["" if act["code"] == 0 else "yellow" for act in acts]
    console.table(("time", "user", "command", "plan", "result"), rows, styles)
    return 0


def _verdict(stack: str, verdict: Verification) -> int:
    count = len(verdict.entries)
    if verdict.faults:
        message = f"the audit record of stack {stack} was changed or is damaged: " + "; ".join(verdict.faults)
        hint = "compare the record with a backup; new entries are chained from here on"
        raise PneumoError(message, hint, stack=stack, entries=count, faults=list(verdict.faults))
    unfinished = [act["command"] for act in _acts(verdict.entries) if act["code"] is None]
    document = {"stack": stack, "entries": count, "faults": [], "head": verdict.head, "unfinished": unfinished}
    console.result(document)
    console.text(
        f"{counted(count, 'entry', 'entries')}, each as it was written; hash of the last: {verdict.head or '-'}"
    )
    if unfinished:
        console.text(f"no end recorded (killed, or still running): {', '.join(unfinished)}")
    return 0


def _acts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One document for each recorded command: its start and, if it was recorded, its end."""
    acts: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.get("event") == "begun":
            names = ("at", "who", "arn", "command", "options", "plan")
            acts[str(entry.get("run"))] = {name: entry.get(name) or "" for name in names} | {
                "ended": None, "code": None, "changed": None}  # fmt: skip
        elif (act := acts.get(str(entry.get("run")))) is not None:
            news = {"ended": entry.get("at"), "code": entry.get("code"), "changed": entry.get("changed")}
            act |= news | {"arn": entry.get("arn") or act["arn"]}
    return list(acts.values())


def _words(act: dict[str, Any]) -> str:
    """The command with its options, and with what the record says about its objects."""
    options = (act["options"] or {}).items()
    return " ".join([act["command"], *(f"--{name}" if value is True else f"{name}={value}" for name, value in options)])


def _result(act: dict[str, Any]) -> str:
    if act["code"] is None:
        return "started, no end recorded"
    changed = act["changed"]
    count = "" if changed is None else f", {counted(len(changed), 'change')}"
    return ("done" if act["code"] == 0 else f"exit {act['code']}") + count
