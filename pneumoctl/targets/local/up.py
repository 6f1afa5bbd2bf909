"""Bring a stack up on this machine and prove that it serves."""

import json
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.apply import apply
from pneumoctl.plan.executor import StepFailed
from pneumoctl.plan.steps import Service, describe
from pneumoctl.stack import audit
from pneumoctl.stack.audit import Act
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.log import log_to
from pneumoctl.targets.local.logs import tail
from pneumoctl.targets.local.plan import Prepared
from pneumoctl.targets.local.up_plan import PROOF
from pneumoctl.terminal.console import console


def _show(prepared: "Prepared") -> int:
    todo = prepared.changes()
    for line in describe(prepared.plan, lambda step: step in todo) if todo else ["nothing to do"]:
        console.text(line)
    console.result({"stack": prepared.stack.name, "changes": [step.title for step in todo]})
    return 0


def _act(prepared: "Prepared", agreed: bool, act: "Act") -> int:
    stack, wishes = prepared.stack, prepared.wishes

    def begin() -> None:
        act.begin(audit.digest(prepared.plan))
        stack.save(wishes.secrets, prepared.ports)
        log_to(stack, wishes.secrets.values())

    journal = Journal(stack.directory / "journal.jsonl", "up")
    try:
        applied = apply(prepared.plan, prepared.hosts, journal, agreed, begin)
    except StepFailed as error:
        code = Exit.GATE_FAILED if error.output.code == Exit.GATE_FAILED else Exit.FAILED
        said = _last_words(prepared, error)
        raise PneumoError(error.message + said, "pneumoctl logs, then: pneumoctl up", code, **error.details) from error
    act.changed = applied.changed
    prediction = json.loads(applied.outputs[PROOF].stdout)
    url = wishes.inventory.url("ui")
    document = {"stack": stack.name, "url": url, "changed": list(applied.changed), "prediction": prediction}
    console.result(document)
    _report(document)
    return 0


def _last_words(prepared: "Prepared", error: "StepFailed") -> str:
    """The end of the log of the service that the failed step was about."""
    step = next(step for step in prepared.plan.steps if step.title == error.details["step"])
    files = [prepared.stack.layout.logs / f"{one.name}.log" for one in step.actions if isinstance(one, Service)]
    return "".join(f"\n{file.name}: {line}" for file in files if file.exists() for line in tail(file, 8))


def _report(document: dict[str, Any]) -> None:
    one = document["prediction"]
    if not document["changed"]:
        console.text("nothing to do: the stack is up")
    console.text(
        f"proof: a drawn radiograph through the web page: {one['finding']}, P(pneumonia) {one['probability']:.3f}, "
        f"threshold {one['threshold']:.3f}, model {one['model']['name']} {one['model']['version']}"
    )
    console.text(f"web page: {document['url']}")
