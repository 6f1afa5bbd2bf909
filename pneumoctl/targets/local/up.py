"""Bring a stack up on this machine and prove that it serves."""

import json
from collections.abc import Sequence
from typing import Any

from pneumoctl.accounts import first_admin
from pneumoctl.accounts.client import Accounts
from pneumoctl.accounts.first_admin import FirstAdmin
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.apply import apply
from pneumoctl.plan.executor import StepFailed
from pneumoctl.plan.steps import Service
from pneumoctl.registry import promotion
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.log import log_to
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import ready
from pneumoctl.targets.common.service_logs import tail
from pneumoctl.targets.local import api, port_reservation
from pneumoctl.targets.local.plan import Prepared, prepare
from pneumoctl.targets.local.port_reservation import PortsTaken
from pneumoctl.targets.local.up_plan import PROOF
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report

PROMOTED = "pneumoctl up, without the setting model"
ATTEMPTS = 3  # each with other ports, if another stack takes a port after it was chosen


def up(settings: Settings, stack: Stack, agreed: bool, dry_run: bool, admin: str = "") -> Report:
    """Check, plan, ask, execute and prove; with `dry_run`, only show the plan. `admin`: name of the first admin."""
    if dry_run:
        prepared = prepare(settings, stack)
        todo = prepared.changes()
        titles = [step.title for step in todo]
        return Report({"stack": stack.name, "changes": titles}, prepared.lines(todo))
    with stack.locked("up"), audit.recorded(stack, "up", {"yes": agreed}) as act:
        for _ in range(ATTEMPTS - 1):
            try:
                return _carry_out(prepare(settings, stack), agreed, act, admin)
            except PortsTaken as taken:
                console.note(f"{taken.message}: another is chosen", "yellow")
        return _carry_out(prepare(settings, stack), agreed, act, admin)


def _carry_out(prepared: Prepared, agreed: bool, act: CommandRecord, admin: str) -> Report:
    stack, desired = prepared.stack, prepared.desired
    promoted = promotion.default(stack)

    def begin() -> None:
        act.begin(audit.plan_digest(prepared.plan))
        port_reservation.save(stack, desired.secrets, prepared.ports)
        log_to(stack, desired.secrets.values())

    journal = Journal(stack.journal, "up")
    try:
        applied = apply(prepared.plan, prepared.hosts, journal, agreed, begin, prepared.remarks)
    except StepFailed as error:
        if lost := port_reservation.lost(stack, prepared.ports):
            message = f"another program has taken port {lost[0]} meanwhile"
            raise PortsTaken(f"{message}: {error.message}", "pneumoctl up", Exit.FAILED, **error.details) from error
        code = Exit.GATE_FAILED if error.output.code == Exit.GATE_FAILED else Exit.FAILED
        log_end = _last_log_lines(prepared, error)
        raise PneumoError(
            error.message + log_end, "pneumoctl logs, then: pneumoctl up", code, **error.details
        ) from error
    act.changed = applied.changed
    first = _first_admin(prepared, admin)
    act.changed = (*applied.changed, *first.changed)
    return _report(prepared, act.changed, json.loads(applied.outputs[PROOF].stdout), promoted, first)


def _first_admin(prepared: Prepared, name: str) -> FirstAdmin:
    if prepared.desired.settings.login == "none":
        return FirstAdmin()
    return first_admin.ensure(Accounts(ApiClient.of(api.endpoint(prepared.stack))), name)


def _report(
    prepared: Prepared, changed: Sequence[str], prediction: dict[str, Any], promoted: str, first: FirstAdmin
) -> Report:
    url, name = prepared.desired.inventory.url("ui"), prepared.stack.name
    document = {"stack": name, "url": url, "changed": list(changed), "prediction": prediction}
    lines = [] if changed else ["nothing to do: the stack is up"]
    lines += [ready.proof(prediction, "web page"), *ready.other_model(prediction, promoted, PROMOTED)]
    more = {"promoted_model": promoted, "admin": first.document(url)}
    return Report({**document, **more}, (*lines, f"web page: {url}", *first.lines(url)))


def _last_log_lines(prepared: Prepared, error: StepFailed) -> str:
    """The last log lines of the service that the failed step starts."""
    step = next(step for step in prepared.plan.steps if step.title == error.details["step"])
    files = [
        prepared.stack.layout.logs / f"{action.name}.log" for action in step.actions if isinstance(action, Service)
    ]
    return "".join(f"\n{file.name}: {line}" for file in files if file.exists() for line in tail(file, 8))
