"""`pneumoctl up`: preflight, plan, ask, act, and the proof by a real prediction."""

import json
import os
from typing import TYPE_CHECKING, Any

from pneumoctl.options import Config, DryRun, Json, NoColor, OfflineBundle, Quiet, StackName, Target, Yes, resolved

if TYPE_CHECKING:
    from pneumoctl.audit import Act
    from pneumoctl.commands.plan import Prepared
    from pneumoctl.execute import StepFailed


def up(
    offline_bundle: OfflineBundle = None,
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Bring the stack up and prove it serves.

    Preflight, plan, question, then Redis, API and web page under a supervisor, and a real prediction through the
    page. Safe to repeat: it does what is missing. Exit 4: preflight; 5: locked; 10: the health gate failed.
    """
    from pneumoctl import audit
    from pneumoctl import settings as settings_
    from pneumoctl.commands.plan import prepare
    from pneumoctl.stack import choose

    settings, place = choose(
        settings_.load(
            {"stack": stack, "target": target, "offline_bundle": resolved(offline_bundle)}, config, os.environ
        )
    )
    if settings.target == "aws":
        from pneumoctl.commands.aws import up as aws

        return aws.up(settings, place, yes, dry_run)
    if dry_run:
        return _show(prepare(settings, place))
    with place.locked("up"), audit.kept(place, "up", {"yes": yes}) as act:
        return _act(prepare(settings, place), yes, act)


def _show(prepared: "Prepared") -> int:
    from pneumoctl.console import console
    from pneumoctl.plan import describe

    todo = prepared.changes()
    for line in describe(prepared.plan, lambda step: step in todo) if todo else ["nothing to do"]:
        console.text(line)
    console.result({"stack": prepared.stack.name, "changes": [step.title for step in todo]})
    return 0


def _act(prepared: "Prepared", agreed: bool, act: "Act") -> int:
    from pneumoctl import audit
    from pneumoctl.apply import apply, log_to
    from pneumoctl.console import console
    from pneumoctl.errors import Exit, PneumoError
    from pneumoctl.execute import StepFailed
    from pneumoctl.journal import Journal
    from pneumoctl.plans.up import PROOF

    place, wishes = prepared.stack, prepared.wishes

    def begin() -> None:
        act.begin(audit.digest(prepared.plan))
        place.save(wishes.secrets, prepared.ports)
        log_to(place, wishes.secrets.values())

    journal = Journal(place.directory / "journal.jsonl", "up")
    try:
        applied = apply(prepared.plan, prepared.hosts, journal, agreed, begin)
    except StepFailed as error:
        code = Exit.GATE_FAILED if error.output.code == Exit.GATE_FAILED else Exit.FAILED
        said = _last_words(prepared, error)
        raise PneumoError(error.message + said, "pneumoctl logs, then: pneumoctl up", code, **error.details) from error
    act.changed = applied.changed
    prediction = json.loads(applied.outputs[PROOF].stdout)
    url = wishes.inventory.url("ui")
    document = {"stack": place.name, "url": url, "changed": list(applied.changed), "prediction": prediction}
    console.result(document)
    _report(document)
    return 0


def _last_words(prepared: "Prepared", error: "StepFailed") -> str:
    """The end of the log of the service that the failed step was about."""
    from pneumoctl.commands.logs import tail
    from pneumoctl.plan import Service

    step = next(step for step in prepared.plan.steps if step.title == error.details["step"])
    files = [prepared.stack.layout.logs / f"{one.name}.log" for one in step.actions if isinstance(one, Service)]
    return "".join(f"\n{file.name}: {line}" for file in files if file.exists() for line in tail(file, 8))


def _report(document: dict[str, Any]) -> None:
    from pneumoctl.console import console

    one = document["prediction"]
    if not document["changed"]:
        console.text("nothing to do: the stack is up")
    console.text(
        f"proof: a drawn radiograph through the web page: {one['finding']}, P(pneumonia) {one['probability']:.3f}, "
        f"threshold {one['threshold']:.3f}, model {one['model']['name']} {one['model']['version']}"
    )
    console.text(f"web page: {document['url']}")
