"""Remove a stack from this machine: export its results, end it, and prove that nothing remains."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pneumoctl.errors import PneumoError
from pneumoctl.plan.apply import apply, changes
from pneumoctl.plan.executor import HostAccess, StepFailed
from pneumoctl.plan.steps import describe
from pneumoctl.results.transfer import described
from pneumoctl.stack import audit, inventory
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.log import log_to
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.keep import Keep, new_folder
from pneumoctl.targets.local import processes
from pneumoctl.targets.local.reach import reach
from pneumoctl.targets.local.teardown_plan import EXPORT, TeardownOptions, plan
from pneumoctl.terminal.report import Report

Read = TypeVar("Read")


def prepare(stack: Stack, keep: Keep) -> tuple[TeardownOptions, Mapping[str, HostAccess]]:
    """The facts that the plan depends on, and the hosts of the stack. Changes nothing."""
    purge = keep == "nothing"
    ports = _unless_damaged(stack.ports, purge)
    assigned = ports.assigned if ports else {}
    desired = TeardownOptions(
        name=stack.name,
        layout=stack.layout,
        python=sys.executable,
        ports=tuple(assigned.values()),
        export=None if purge else new_folder(stack),
        has_results=_has_results(stack, purge),
        has_models=keep == "everything" and _any(stack.layout.models),
    )
    return desired, reach(stack, inventory.local(assigned or dict.fromkeys(("redis", "api", "ui"), 0)))


def _unless_damaged(read: Callable[[], Read | None], purge: bool) -> Read | None:
    """The result of `read`; None for a damaged file with --purge, which removes the file anyway."""
    try:
        return read()
    except Damaged:
        if not purge:
            raise
        return None


def _has_results(stack: Stack, purge: bool) -> bool:
    """Whether there are results to export. Raises PneumoError if there are, but their key is missing."""
    served = (stack.layout.logs / "api.log").exists()
    environment = stack.layout.config("env/api.env")
    if served and not environment.exists() and not purge:
        raise PneumoError(
            f"results are stored, but {environment} is missing, without which they cannot be read",
            "pneumoctl up, which writes it anew, then: pneumoctl teardown (or, losing the results: --purge)",
        )
    return served


def _any(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def teardown(stack: Stack, keep: Keep, agreed: bool, dry_run: bool) -> Report:
    """Export, end every process, remove the directory and prove it; with `dry_run`, only show the plan."""
    if dry_run:
        desired, hosts = prepare(stack, keep)
        planned = plan(desired)
        todo = changes(planned, hosts)
        lines = list(describe(planned, lambda step: step in todo))
        return Report({"stack": stack.name, "changes": [step.title for step in todo]}, lines)
    options = {"purge": keep == "nothing", "results_only": keep == "results", "yes": agreed}
    with stack.locked("teardown"), audit.recorded(stack, "teardown", options) as act:
        return _carry_out(stack, *prepare(stack, keep), agreed, act)


def _carry_out(
    stack: Stack, desired: TeardownOptions, hosts: Mapping[str, HostAccess], agreed: bool, act: CommandRecord
) -> Report:
    secrets = _unless_damaged(stack.secrets, desired.export is None)

    planned = plan(desired)

    def begin() -> None:
        if stack.exists:
            act.begin(audit.plan_digest(planned))
            log_to(stack, secrets.values() if secrets else ())

    journal = Journal(stack.journal, "teardown")
    try:
        applied = apply(planned, hosts, journal, agreed, begin)
    except StepFailed as error:
        hint = "pneumoctl logs, then: pneumoctl teardown (or, losing the results: pneumoctl teardown --purge)"
        raise PneumoError(error.message, hint, error.code, **error.details) from error
    act.changed = applied.changed
    left = processes.remains(stack.directory, desired.ports) + [str(stack.directory)] * stack.exists
    if left:
        message = f"processes, ports or files of the stack remain: {', '.join(left)}"
        raise PneumoError(message, "pneumoctl teardown", left=left)
    exported = str(desired.export) if desired.export and desired.export.exists() else None
    counts = json.loads(applied.outputs[EXPORT].stdout) if EXPORT in applied.outputs else None
    lines: list[str] = []
    if not applied.changed:
        lines.append(f"nothing to do: there is no stack {stack.name}")
    elif exported:
        lines.append(f"exported {described(counts)} to {exported}" if counts else f"exported to {exported}")
    records = [str(path) for path in stack.records()]
    kept = "audit, training runs, promoted model, MAC keys of the exports"
    except_for = f", except for its records ({kept}): {', '.join(records)}" if records else ""
    lines.append(f"proof: no process, no port and no file of the stack remains{except_for}")
    document = {"stack": stack.name, "changed": list(applied.changed), "exported": exported, "results": counts}
    return Report({**document, "left": left, "records": records}, lines)
