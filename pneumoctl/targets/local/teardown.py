"""Remove a stack from this machine: export its results, end it, and prove that nothing remains."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.apply import Applied, apply, changes
from pneumoctl.plan.executor import HostAccess, StepFailed
from pneumoctl.plan.steps import describe
from pneumoctl.results.transfer import described
from pneumoctl.stack import audit, free_space, inventory
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.log import log_to
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.keep import (
    RESULTS,
    Keep,
    exported_document,
    exported_lines,
    new_folder,
    not_exported,
    remove_interrupted,
)
from pneumoctl.targets.local import processes, service_control, service_states
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
    planned, begun = plan(desired), False

    def begin() -> None:
        nonlocal begun
        begun = True
        remove_interrupted(stack)
        if stack.exists:
            act.begin(audit.plan_digest(planned))
            log_to(stack, secrets.values() if secrets else ())

    journal = Journal(stack.journal, "teardown")
    try:
        with free_space.no_empty_folders(desired.export / RESULTS) if desired.export else nullcontext():
            applied = apply(planned, hosts, journal, agreed, begin)
    except BaseException as error:
        if begun:
            _resume(stack)
        raise _explained(error) if isinstance(error, StepFailed) else error from error.__cause__
    act.changed = applied.changed
    left = processes.remains(stack.directory, desired.ports) + [str(stack.directory)] * stack.exists
    if left:
        message = f"processes, ports or files of the stack remain: {', '.join(left)}"
        raise PneumoError(message, "pneumoctl teardown", left=left)
    return _report(stack, desired, applied)


def _resume(stack: Stack) -> None:
    """Start the page and the API that a failed teardown has stopped, unless it has ended the supervisor already."""
    states = service_states.available_states(stack.directory) or {}
    for name in ("api", "ui"):
        if name in states and states[name].state == "STOPPED":
            with suppress(OSError):
                service_control.start(stack.directory, name)


def _explained(error: StepFailed) -> PneumoError:
    """The error of a step; that of the export has its own hint."""
    purge = "(or, losing the results: pneumoctl teardown --purge)"
    try:
        told, code = json.loads(error.output.stdout), int(Exit(error.output.code))
        message, hint = f"{not_exported('the results', code)}, so nothing was removed: {told['message']}", told["hint"]
    except (ValueError, TypeError, KeyError):
        message, hint, code = error.message, "pneumoctl logs, then: pneumoctl teardown", error.code
    return PneumoError(message, f"{hint} {purge}", code, **error.details)


def _report(stack: Stack, desired: TeardownOptions, applied: Applied) -> Report:
    folder = desired.export if desired.export and desired.export.exists() else None
    results = folder / RESULTS if folder and (folder / RESULTS).exists() else None
    counts = json.loads(applied.outputs[EXPORT].stdout) if EXPORT in applied.outputs else None
    lines: list[str] = []
    if not applied.changed:
        lines.append(f"nothing to do: there is no stack {stack.name}")
    lines += exported_lines(folder, results, described(counts) if counts else "")
    records = [str(path) for path in stack.records()]
    kept = "audit, training runs, promoted model, MAC keys of the exports"
    except_for = f", except for its records ({kept}): {', '.join(records)}" if records else ""
    lines.append(f"proof: no process, no port and no file of the stack remains{except_for}")
    document = {"stack": stack.name, "changed": list(applied.changed), **exported_document(folder, results)}
    return Report({**document, "results": counts, "left": [], "records": records}, lines)
