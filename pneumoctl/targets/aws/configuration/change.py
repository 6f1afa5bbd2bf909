"""Show, confirm, carry out and prove changes on the hosts, for up, configure, deploy, rollback and secrets rotate."""

import json
import shlex
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import configure, layout
from pneumoctl.hosts.desired import DesiredState
from pneumoctl.plan import rollout
from pneumoctl.plan.rollout import Result
from pneumoctl.plan.steps import Plan, Step, describe
from pneumoctl.registry import promotion
from pneumoctl.results import expiring, final_export
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack import audit
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.inventory import STORE
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.log import log_to
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import desired, proof, restore, rollback, shared_trees
from pneumoctl.targets.aws.configuration.desired import AvailableReleases, ReleaseChoice
from pneumoctl.targets.aws.store import new_store, results, stack_secrets
from pneumoctl.targets.common import ready
from pneumoctl.terminal.console import console
from pneumoctl.terminal.progress import Activities
from pneumoctl.terminal.report import counted

Todo = dict[str, list["Step"]]
ENDED_LOGIN = (
    "the login that all users of the page share ends: nobody can use the page until they have a user of their own. "
    "`up` makes the first admin and prints a link for them; then: pneumoctl users add NAME --role reviewer"
)
PROMOTED = "pneumoctl deploy model, without --bundle and the setting model"


@dataclass(frozen=True)
class Task:
    """What a command changes on the hosts."""

    verb: str  # the command, as the hint after a failure names it
    update: Collection[str] = ("api", "web", "model")  # kinds whose release is replaced by this pneumoctl's
    rollback: str = ""  # the kind that goes back to the release before the current one
    hosts: Collection[str] = ()  # names; all hosts if empty
    plan: Callable[[DesiredState], Plan] = configure.plan
    prove: bool = True
    source: Path | None = None  # a checkout to take the code from


def change(settings: Settings, stack: Stack, task: Task, agreed: bool, act: CommandRecord) -> dict[str, Any]:
    """Carry out a task; returns its document. Asks first unless `agreed` or there is nothing to do.

    It starts services that were stopped, so it refuses while a terraform that was left may still destroy the store.
    """
    _refuse_beside_terraform(stack)
    ours, promoted = desired.available_releases(settings, task.source), promotion.default(stack)
    with (
        shared_trees.opened(settings, stack) as trees,
        ssh_hosts.opened(stack, task.hosts, share=trees.share) as hosts,
    ):
        desired_state, plan, todo = planned(settings, stack, hosts, task, ours)
        trees.expect(todo)
        stack_secrets.refuse_older(stack, hosts, todo)
        _refuse_before_users(stack, desired_state, task)
        if agreed:
            for line in ended_login(desired_state):
                console.warn(line)
        elif any(todo.values()):
            remarks = (*ended_login(desired_state), *erased(settings, stack, todo))
            for line in (*description(plan, todo), *remarks, *hosts.differences(todo)):
                console.note(line)
            if not console.ask("Continue?"):
                raise PneumoError("cancelled: nothing was changed", "answer y, or give --yes")
        act.begin(audit.plan_digest(todo))
        desired.save_certificate(stack, desired_state, [step for steps in todo.values() for step in steps])
        with rollback.remembered(stack, desired_state.current_links, task.update, task.rollback):
            result = _carry_out(settings, stack, hosts, plan, todo, task, desired_state)
    act.changed = [*(act.changed or ()), *result.changed]
    proven = result.outputs.get(configure.PROOF)
    prediction = json.loads(proven.stdout) if proven else None
    return {"stack": stack.name, "changed": result.changed, "prediction": prediction, "promoted_model": promoted}


def _refuse_beside_terraform(stack: Stack) -> None:
    """Raise PneumoError (exit 5) if a terraform that a killed command left still works on the stack."""
    if run := Terraform(stack.terraform, {}, stack.layout.logs).current:
        left = f"{run.command} (process {run.pid}), left by a command that was killed, still works on the stack"
        raise PneumoError(f"{left}. Nothing was changed", "pneumoctl up, which waits for it", Exit.LOCKED)


def _refuse_before_users(stack: Stack, desired_state: DesiredState, task: Task) -> None:
    """Raise PneumoError if a part of the stack would be changed whose users still share the login of nginx.

    A page of an earlier release asks for no login, so all web hosts must have been switched before nginx asks for none.
    """
    if desired_state.shared_login and task.verb != "up":
        message = f"an earlier pneumoctl made stack {stack.name}: its users share one login. Nothing was changed"
        raise PneumoError(message, "pneumoctl up, which ends that login and makes an admin")


def ended_login(desired_state: DesiredState) -> list[str]:
    """What the plan says if the steps end a login that all users share."""
    return [ENDED_LOGIN] if desired_state.shared_login else []


def lines(document: Mapping[str, Any], nothing: str) -> list[str]:
    """The number of steps done, and the proof; `nothing` is the text if there was nothing to do."""
    done = f"{counted(len(document['changed']), 'step')} done" if document["changed"] else f"nothing to do: {nothing}"
    return [done, *proof_lines(document)]


def proof_lines(document: Mapping[str, Any]) -> list[str]:
    """The prediction that proves what serves, and whether that is the promoted model; empty if nothing was proven."""
    if not (prediction := document["prediction"]):
        return []
    return [
        ready.proof(prediction, "front door"),
        *ready.other_model(prediction, document["promoted_model"], PROMOTED),
    ]


def description(plan: Plan, todo: Todo) -> list[str]:
    """The pending steps as lines of text."""
    if not any(todo.values()):
        return ["nothing to do: the hosts are in their desired state"]
    waiting = [
        replace(step, hosts=tuple(name for name in step.hosts if step in todo.get(name, ()))) for step in plan.steps
    ]
    return describe(replace(plan, steps=tuple(step for step in waiting if step.hosts)))


def erased(settings: Settings, stack: Stack, todo: Todo) -> list[str]:
    """A line on the results that the pending steps make the API erase; none if it erases nothing."""
    steps = [step for of_host in todo.values() for step in of_host]
    return expiring.lines(settings, steps, lambda: results.opened(stack))


def planned(
    settings: Settings, stack: Stack, hosts: Hosts, task: Task, ours: AvailableReleases
) -> tuple[DesiredState, Plan, Todo]:
    """The desired state of the hosts, the plan of a task for them, and the steps that are pending there."""
    links = desired.current_links(hosts)
    earlier = rollback.release(stack, links, task.rollback) if task.rollback else ""
    choice = ReleaseChoice(ours, links, task.update, task.rollback, earlier)
    shared = desired.shares_login(hosts.agents, stack.hosts() or hosts.inventory, hosts.inventory)
    desired_state = desired.desired_state(stack, settings, hosts.inventory, choice, shared)
    plan = desired.limited(task.plan(desired_state), {host.name for host in hosts.inventory.hosts})
    return desired_state, plan, rollout.pending(plan, hosts.step_runners())


def _carry_out(
    settings: Settings,
    stack: Stack,
    hosts: Hosts,
    plan: Plan,
    todo: Todo,
    task: Task,
    desired_state: DesiredState,
) -> Result:
    secrets, inventory = stack.secrets(), stack.hosts()
    final_export.forget(stack)
    if STORE in {host.name for host in hosts.inventory.hosts}:
        new_store.configured(stack)
    log_to(stack, secrets.values() if secrets else ())
    runners = dict(hosts.step_runners())
    if task.prove and inventory and not hosts.unreachable:  # with a host missing, the proof fails slowly
        runners[layout.OPERATOR] = proof.FrontDoor(
            desired.front_door(stack, settings, inventory), hosts, partial(proof.session, stack)
        )
        plan = replace(plan, steps=(*plan.steps, configure.proof(plan)))
    journal = Journal(stack.journal, task.verb)
    journal.write("begin")
    count = sum(len(steps) for steps in todo.values())
    with console.activities(task.verb) if count else nullcontext() as shown:
        if shown:
            shown.expect(count)
        result = rollout.roll_out(plan, runners, todo, journal, _reporter(shown))
        expect = (lambda more: shown.expect(count + more)) if shown else (lambda _: None)
        links = partial(desired.links, hosts.agents)
        restored = restore.after(result, desired_state, runners, journal, _reporter(shown), links, expect)
    result.done += restored.done
    journal.write("end", detail=f"{len(result.done)} steps")
    result.failures += [rollout.Failure(name, rollout.CONNECT, error) for name, error in hosts.unreachable.items()]
    rollout.raise_for(result, _again(settings, task), restored.lines, not restored.complete)
    return result


def _again(settings: Settings, task: Task) -> str:
    """The command that does the same once more."""
    by_flag = settings.batch != Settings.batch and task.verb.startswith(("deploy", "rollback"))
    options = {
        "--source": str(task.source or ""),
        "--bundle": str(settings.model or "") if task.verb == "deploy model" else "",
        "--offline-bundle": settings.offline_bundle,
        "--batch": settings.batch if by_flag else "",
    }
    return " ".join(
        ("pneumoctl", task.verb, *(f"{flag} {shlex.quote(value)}" for flag, value in options.items() if value))
    )


def _reporter(shown: Activities | None) -> Callable[[str, str, Step, str], None]:
    def report(event: str, host: str, step: Step, detail: str) -> None:
        if shown is None:
            return
        name = step.title if host in step.title or host == layout.OPERATOR else f"{step.title} on {host}"
        if event == "start":
            shown.begin(name, "")
        elif event == "done" and step.check:
            shown.drop(name)
        else:
            shown.end(name, "done" if event == "done" else detail.splitlines()[0], succeeded=event == "done")

    return report
