"""`pneumoctl gpu`: show what the GPU costs now, stop it, test its guards, stop orphaned GPU hosts in all regions."""

from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Annotated

import typer

from pneumoctl.aws.ec2 import HALTED, Aws
from pneumoctl.cli.invocation import Invocation, TaggedInvocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import guards, orphans, scheduled_stop
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.gpu.stop import confirming, requiring_answer, unlisted
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context, tagged
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted
from pneumoctl.training.collect import training_host

app = typer.Typer(
    name="gpu",
    help="""Show whether a GPU costs money; stop it; test its guards.

    The GPU host is the machine of a stack on aws that trains models (setting gpu_host). It costs money while it is on,
    so `train --gpu` starts it with a lease, which says until when it may run, and guards stop it, among
    them a stop that is scheduled in AWS and a timer on the host that switches it off when nothing trains.
    """,
    rich_markup_mode=None,
)
Drill = Annotated[
    str | None,
    typer.Option(
        "--drill",
        help="Guard to test: schedule (the stop in AWS) or idle (the timer on the host). Starts the GPU.",
        metavar="GUARD",
    ),
]


def _opened(invocation: Invocation) -> tuple[Stack, Aws]:
    settings, stack = invocation
    stack.require_aws(*tagged.NO_GPU_HOST)
    with confirming(settings, stack.name):
        return stack, context.login(settings, stack)[0]


def _reached(invocation: Invocation, command: str) -> AbstractContextManager[Aws]:
    """The stack's AWS, for what needs credentials alone: see targets.aws.tagged. `command`: `gpu status`, ..."""
    return tagged.reached(*invocation, command, ask=isinstance(invocation, TaggedInvocation))


@app.command()
@on_stack("region", gpu=True, alarm=False)
def status(invocation: Invocation) -> int:
    """Show whether the stack's GPU costs money, and until when at most.

    With --stack and --region, AWS credentials suffice: the stack may be one that another machine made, whatever this
    machine has under its name.

    Exit code 7 if it runs without a lease, which is what limits its time, or if AWS does not say.
    """
    stack = invocation.stack
    with _reached(invocation, "gpu status") as aws:
        hosts = guards.gpu_hosts(aws, stack)
    console.result({"stack": stack.name, "hosts": [host.document() for host in hosts]})
    if not hosts:
        console.text(f"stack {stack.name} has no GPU host")
    for host in hosts:
        console.text(host.line())
    unleased = any(host.bills and not host.lease for host in hosts)
    return Exit.GPU_NOT_STOPPED if unleased else Exit.DONE


@app.command()
@on_stack("region", gpu=True, alarm=False)
def stop(invocation: Invocation) -> int:
    """Stop the stack's GPU now and prove that it is off.

    Does not ask, and takes no lock. With --stack and --region, AWS credentials suffice: the stack may be one that
    another machine made, whatever this machine has under its name. A run keeps only its last checkpoint;
    `pneumoctl runs cancel` saves one first.

    Exit code 7 if the GPU is not confirmed stopped.
    """
    stack = invocation.stack
    with _reached(invocation, "gpu stop") as aws, audit.recorded(stack, "gpu stop", {"region": aws.region}) as act:
        armed, unread = _armed(aws, stack)  # first: a stop that is scheduled after this belongs to a new run
        listed, was_on = aws.training_hosts(stack.name), dict[str, str]()
        hosts = [*listed, *unlisted(armed, listed)]
        act.begin(audit.plan_digest([host.id for host in hosts]))
        aws.stop(
            hosts, lambda states: was_on.update((id, state) for id, state in states.items() if state not in HALTED)
        )
        changed = act.changed = [host.id for host in hosts if host.id in was_on]
        gpus = guards.gpu_hosts(aws, stack)
    console.result({"stack": stack.name, "changed": changed, "hosts": [gpu.document() for gpu in gpus]})
    for gpu in gpus:
        console.text(gpu.line())
    for id in set(changed) - {gpu.host.id for gpu in gpus}:
        console.text(f"{id}: terminated")
    if not gpus:
        console.text(f"stack {stack.name} has no GPU host in {aws.region}")
    for lease in armed:
        if not lease.of_run and set(lease.instances) & {*changed}:
            console.warn(_first_boot_ended(aws, lease))
    # Another pneumoctl may be about to start a host that was off all the time: the stop of its run stays armed.
    was_off = {host.id for host in listed} - {*changed}
    over = [lease for lease in armed if was_off.isdisjoint(lease.instances) or not lease.of_run]
    _disarm(aws, stack, over, unread)
    return 0


def _armed(aws: Aws, stack: Stack) -> tuple[list[Lease], str]:
    """The scheduled stops, or why they cannot be read: that must not keep the host running."""
    try:
        return scheduled_stop.listed(aws, stack.name), ""
    except PneumoError as error:
        return [], error.message


def _first_boot_ended(aws: Aws, lease: Lease) -> str:
    again = f"aws ec2 terminate-instances --region {aws.region} --instance-ids {' '.join(lease.instances)}"
    return f"this was the GPU host's first boot; if it was not over, make the host anew: {again}; pneumoctl up"


def _disarm(aws: Aws, stack: Stack, armed: list[Lease], unread: str) -> None:
    """Delete the scheduled stops of hosts that were stopped; one that stays deletes itself when it is due.

    One that a run has changed since is that of its next attempt, on another host.
    """
    try:
        for lease in armed:
            if scheduled_stop.read(aws, stack.name, lease.run) == lease:
                scheduled_stop.delete(aws, stack.name, lease.run)
    except PneumoError as error:
        unread = error.message
    if unread:
        console.warn(
            f"a stop that is scheduled in the account may stay until it is due; the next train deletes it: {unread}"
        )


@app.command()
@on_stack(gpu=True, alarm=False)
def guard(invocation: Invocation, drill: Drill = None, yes: Yes = False) -> int:
    """Show the guards of the GPU, or test one with --drill.

    A drill starts the GPU without work and checks that this guard alone stops it. It costs a few minutes of GPU time.

    Exit code 7 if the GPU runs without a lease, if AWS does not answer, or if the tested guard did not act; then the
    GPU is stopped, or the message says how to stop it.
    """
    stack, aws = _opened(invocation)
    if drill is None:
        with confirming(aws, stack.name):
            rows = guards.guards(aws, stack)
        console.result({"stack": stack.name, "guards": [row.document() for row in rows]})
        console.table(
            ("guard", "", "state"), [row.cells() for row in rows], ["" if row.good else "red" for row in rows]
        )
        if not rows[0].good:
            return Exit.GPU_NOT_STOPPED
        return Exit.DONE if all(row.good for row in rows) else Exit.FAILED
    if drill not in guards.DRILLS:
        message = f"unknown drill {drill!r}; choose one of: {', '.join(guards.DRILLS)}"
        raise PneumoError(message, "pneumoctl gpu guard --drill schedule", Exit.USAGE)
    if not yes and not console.ask("This starts the GPU host, which costs money until the guard stops it. Continue?"):
        raise PneumoError("cancelled: the GPU host was not started", f"pneumoctl gpu guard --drill {drill} --yes")
    with stack.gpu_locked("gpu guard"), audit.recorded(stack, "gpu guard", {"drill": drill}) as act:
        with requiring_answer(aws, stack.name, stack.may_have_training_host):
            host = training_host(aws, stack)
        act.begin(audit.plan_digest(drill))
        seen = guards.drill(aws, stack, host, drill)
    console.result({"stack": stack.name, **seen})
    console.text(f"guard {drill}: the GPU was off {seen['seconds']} s after its start, by: {seen['guard']}")
    return Exit.DONE if seen["good"] else Exit.GPU_NOT_STOPPED


@app.command()
@on_stack(every=True, alarm=False)
def reap(invocation: Invocation, yes: Yes = False) -> int:
    """Stop GPU hosts without a lease, in all enabled regions.

    Covers every stack, and asks first. Finds the hosts by their tags, so it needs no stack on this machine.

    Exit codes: 6 a region could not be asked; 7 a host is not stopped, or it is on and its lease cannot be read, or no
    region could be asked.
    """
    findings = orphans.search(invocation.settings)
    for host in findings.leased:
        console.note(f"{host.region}: {host.id} of stack {host.stack} is used by {host.lease}: left alone")
    for _, host in findings.orphans:
        console.alarm(
            f"{host.region}: {host.id} ({host.type}) of stack {host.stack}, on since {host.launched:%F %T} UTC"
        )
    if findings.orphans and not yes and not console.ask(f"Stop {counted(len(findings.orphans), 'GPU host')}?"):
        raise PneumoError(
            "cancelled: these GPU hosts still run and cost money", "pneumoctl gpu reap --yes", Exit.GPU_NOT_STOPPED
        )
    stopped, begun = orphans.stop(findings.orphans)
    hosts = {"stopped": stopped, "leased": [*findings.leased, *begun]}
    unknown = findings.unknown | {f"{host.region}, {host.id}": host.unknown for host in findings.unread}
    console.result({name: [asdict(host) for host in group] for name, group in hosts.items()} | {"unknown": unknown})
    console.text(
        f"stopped: {counted(len(stopped), 'GPU host')} that ran without a lease"
        if findings.orphans
        else "no GPU host runs without a lease" + (", as far as is known" if unknown else "")
    )
    for host in findings.unread:
        console.alarm(host.alarm)
    for region, why in findings.unknown.items():
        console.warn(f"{region} is not known: {why}")
    return findings.exit_code
