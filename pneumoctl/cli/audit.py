"""`pneumoctl audit`: who changed what, and whether the records of that are complete and unchanged."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import clinical_trail, mac_keys
from pneumoctl.results.clinical_trail import Entry as Act
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit as audit_
from pneumoctl.stack.hash_chain import Entry, Verification
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted, to_second


@on_stack()
def audit(
    invocation: Invocation,
    verify: Annotated[bool, typer.Option("--verify", help="Check that nothing was changed or removed.")] = False,
    clinical: Annotated[bool, typer.Option("--clinical", help="Show clinical acts: views, reviews, and more.")] = False,
    actor: Annotated[str, typer.Option(metavar="NAME", help="With --clinical: only acts of this user or token.")] = "",
    act: Annotated[str, typer.Option(metavar="ACT", help="With --clinical: only this act, such as view.")] = "",
    subject: Annotated[str, typer.Option(metavar="ID", help="With --clinical: only acts on this result.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="With --clinical: only acts since then.")] = "",
    last: Annotated[int, typer.Option(min=0, help="With --clinical: at most so many, the newest; 0: all.")] = 100,
) -> int:
    """Show who changed what, or with --clinical who saw which result.

    The record of changes remains after the stack is gone. Clinical acts are read from the API of the running stack.
    With --verify, exit code 1 if an entry of either was changed or removed; the message names it.

    Exit codes: 6 an entry of the trail of clinical acts is damaged.
    """
    stack = invocation.stack
    chain = audit_.chain(stack)
    if verify:
        return _verdict(invocation, chain.verify())
    if act and act not in clinical_trail.ACTS:
        raise PneumoError(f"{act!r} is no act", f"the acts are: {', '.join(clinical_trail.ACTS)}", Exit.USAGE)
    if clinical:
        return _clinical(invocation, {"actor": actor, "act": act, "subject": subject}, _start(since), last)
    if actor or act or subject or since:
        raise PneumoError("the filters are for clinical acts", "give --clinical, too", Exit.USAGE)
    acts = _acts(chain.entries())
    console.result({"stack": stack.name, "file": str(chain.path), "acts": acts})
    if not acts:
        console.text(f"no change is recorded for stack {stack.name}")
        return 0
    rows = [(to_second(act["at"]), act["who"], _words(act), act["plan"][:12], _result(act)) for act in acts]
    styles = ["" if act["code"] == 0 else "yellow" for act in acts]
    console.table(("time", "user", "command", "plan", "result"), rows, styles)
    return 0


def _verdict(invocation: Invocation, verdict: Verification) -> int:
    stack, count = invocation.stack.name, len(verdict.entries)
    if verdict.faults:
        message = f"the audit record of stack {stack} was changed or is damaged: " + "; ".join(verdict.faults)
        hint = "compare the record with a backup; new entries are chained from here on"
        raise PneumoError(message, hint, stack=stack, entries=count, faults=list(verdict.faults))
    unfinished = [act["command"] for act in _acts(verdict.entries) if act["code"] is None]
    trail = _verified_trail(invocation)
    document = {"stack": stack, "entries": count, "faults": [], "head": verdict.head, "unfinished": unfinished}
    console.result({**document, "trail": trail})
    console.text(
        f"{counted(count, 'entry', 'entries')}, each as it was written; hash of the last: {verdict.head or '-'}"
    )
    if unfinished:
        console.text(f"no end recorded (killed, or still running): {', '.join(unfinished)}")
    if trail is None:
        console.warn("the trail of clinical acts was not checked: this stack has no API")
    else:
        acts = counted(trail["entries"], "clinical act")
        console.text(f"{acts}, each as it was recorded; hash of the last: {trail['hash'] or '-'}")
    return 0


def _verified_trail(invocation: Invocation) -> dict[str, Any] | None:
    """What a check of the trail of clinical acts found; None if the stack has no API. Raises PneumoError."""
    stack = invocation.stack
    secrets = stack.secrets()
    if secrets is None:  # it was never brought up, or is torn down
        return None
    with target(*invocation).api() as endpoint:
        console.busy("reading the trail of clinical acts from the API")
        api = ApiClient(endpoint.url, endpoint.token, socket=endpoint.socket)
        found = clinical_trail.verify(stack, api.trail, mac_keys.of_stack(secrets).values())
        console.idle()
    if found.faults:
        what = f"the trail of clinical acts of stack {stack.name}"
        message = f"{what} was changed or is damaged: {'; '.join(found.faults)}"
        hint = f"compare it with an export; to accept what it is now, remove {stack.directory / clinical_trail.HEAD}"
        raise PneumoError(message, hint, stack=stack.name, entries=found.entries, faults=found.faults)
    return {"entries": found.entries, "n": found.n, "hash": found.hash, "imported": found.imported}


def _start(since: str) -> datetime | None:
    """The moment in the option --since; a day begins at midnight of this machine's time zone."""
    try:
        return datetime.fromisoformat(since).astimezone() if since else None
    except ValueError as error:
        raise PneumoError(f"{since} is no day or time", "such as 2026-03-31 or 2026-03-31T08:00", Exit.USAGE) from error


def _clinical(invocation: Invocation, wanted: Mapping[str, str], since: datetime | None, last: int) -> int:
    """Show the clinical acts that the filters leave."""
    stack = invocation.stack
    keys = mac_keys.of_stack(stack.secrets()).values()
    with target(*invocation).api() as endpoint:
        console.busy("reading the trail of clinical acts from the API")
        api = ApiClient(endpoint.url, endpoint.token, socket=endpoint.socket)
        found = clinical_trail.newest(api.trail, keys, lambda each: _matches(each, wanted, since), last)
        console.idle()
    console.result({"stack": stack.name, "acts": list(map(_document, found))})
    if not found:
        console.text(f"no such clinical act is recorded for stack {stack.name}")
        return 0
    styles = ["red" if each.content is None else "" for each in found]
    console.table(("n", "time", "who", "act", "subject", "detail"), list(map(_row, found)), styles)
    if damaged := sum(each.content is None for each in found):
        console.warn(f"{counted(damaged, 'entry', 'entries')} damaged: pneumoctl audit --verify")
    return Exit.PARTLY if damaged else Exit.DONE


def _matches(entry: Act, wanted: Mapping[str, str], since: datetime | None) -> bool:
    """Whether the filters leave an entry; one that is damaged may be any, and is left."""
    content = entry.content
    if content is None:
        return True
    if any(value and content.get(name) != value for name, value in wanted.items()):
        return False
    return since is None or datetime.fromisoformat(str(content["time"])) >= since


def _document(entry: Act) -> dict[str, Any]:
    chain = {"chain": entry.chain} if entry.chain else {}  # the name of an imported trail
    return {**(entry.content or {"n": entry.n, "damaged": True}), **chain}


def _row(entry: Act) -> tuple[str, ...]:
    content, n = entry.content, f"{entry.chain[:8]}:{entry.n}" if entry.chain else str(entry.n)
    if content is None:
        return n, "", "", "damaged: not as it was recorded", "", ""
    who = content["actor"] if content["kind"] == "user" else f"{content['kind']} {content['actor']}"
    act = content["act"] if content["outcome"] == "done" else f"{content['act']} ({content['outcome']})"
    time = to_second(str(content["time"]))
    return n, time, str(who), act, str(content["subject"] or ""), str(content["detail"])


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
