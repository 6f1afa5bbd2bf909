"""`pneumoctl gpu`: show what the GPU costs now, stop it, test its guards, stop orphaned GPU hosts in all regions."""

from dataclasses import asdict
from typing import Annotated

import typer

from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import guards, orphans, scheduled_stop
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context
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
    no_args_is_help=True,
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
    stack.require_aws("it has no GPU host", "pneumoctl gpu reap, for the GPU hosts of every stack")
    return stack, context.login(settings, stack)[0]


@app.command()
@on_stack()
def status(invocation: Invocation) -> int:
    """Show whether the stack's GPU costs money, and until when at most.

    Exit code 7 if it runs without a lease, which is what limits its time.
    """
    stack, aws = _opened(invocation)
    hosts = guards.gpu_hosts(aws, stack)
    console.result({"stack": stack.name, "hosts": [host.document() for host in hosts]})
    if not hosts:
        console.text(f"stack {stack.name} has no GPU host")
    for host in hosts:
        console.text(host.line())
    unleased = any(host.bills and not host.lease for host in hosts)
    return Exit.GPU_NOT_STOPPED if unleased else Exit.DONE


@app.command()
@on_stack()
def stop(invocation: Invocation) -> int:
    """Stop the stack's GPU now and prove that it is off.

    Does not ask, and takes no lock. A run keeps only its last checkpoint; `pneumoctl runs cancel` saves one first.
    """
    stack, aws = _opened(invocation)
    with audit.recorded(stack, "gpu stop", {}) as act:
        armed = scheduled_stop.listed(aws, stack.name)  # a stop that is scheduled after this belongs to a new run
        hosts = aws.training_hosts(stack.name)
        act.begin(audit.plan_digest([host.id for host in hosts]))
        aws.stop(hosts)
        act.changed = [host.id for host in hosts if host.state not in ("stopped", "terminated")]
    for lease in armed:
        scheduled_stop.delete(aws, stack.name, lease.run)
    gpus = guards.gpu_hosts(aws, stack)
    console.result({"stack": stack.name, "changed": act.changed, "hosts": [gpu.document() for gpu in gpus]})
    for gpu in gpus:
        console.text(gpu.line())
    return 0


@app.command()
@on_stack()
def guard(invocation: Invocation, drill: Drill = None, yes: Yes = False) -> int:
    """Show the guards of the GPU, or test one with --drill.

    A drill starts the GPU without work and checks that this guard alone stops it. It costs a few minutes of GPU time.

    Exit code 7 if the guard did not act; the GPU is then stopped, or the message says how to stop it.
    """
    stack, aws = _opened(invocation)
    if drill is None:
        rows = guards.guards(aws, stack)
        console.result({"stack": stack.name, "guards": [row.document() for row in rows]})
        console.table(
            ("guard", "", "state"), [row.cells() for row in rows], ["" if row.good else "red" for row in rows]
        )
        return Exit.DONE if all(row.good for row in rows) else Exit.FAILED
    if drill not in guards.DRILLS:
        message = f"unknown drill {drill!r}; choose one of: {', '.join(guards.DRILLS)}"
        raise PneumoError(message, "pneumoctl gpu guard --drill schedule", Exit.USAGE)
    if not yes and not console.ask("This starts the GPU host, which costs money until the guard stops it. Continue?"):
        raise PneumoError("cancelled: the GPU host was not started", f"pneumoctl gpu guard --drill {drill} --yes")
    with stack.gpu_locked("gpu guard"), audit.recorded(stack, "gpu guard", {"drill": drill}) as act:
        host = training_host(aws, stack)
        act.begin(audit.plan_digest(drill))
        seen = guards.drill(aws, stack, host, drill)
    console.result({"stack": stack.name, **seen})
    console.text(f"guard {drill}: the GPU was off {seen['seconds']} s after its start, by: {seen['guard']}")
    return Exit.DONE if seen["good"] else Exit.GPU_NOT_STOPPED


@app.command()
@on_stack()
def reap(invocation: Invocation, yes: Yes = False) -> int:
    """Stop GPU hosts without a lease, in all enabled regions.

    Covers every stack, and asks first. Finds the hosts by their tags, so it needs no stack on this machine.

    Exit codes: 6 a region could not be asked; 7 a host is not stopped.
    """
    settings = invocation.settings
    findings = orphans.search(Aws(settings.profile, settings.region))
    for host in findings.leased:
        console.note(f"{host.region}: {host.id} of stack {host.stack} is used by {host.lease}: left alone")
    for _, host in findings.orphans:
        console.alarm(
            f"{host.region}: {host.id} ({host.type}) of stack {host.stack}, on since {host.launched:%F %T} UTC"
        )
    if findings.orphans and not yes and not console.ask(f"Stop {counted(len(findings.orphans), 'GPU host')}?"):
        raise PneumoError("cancelled: they still run and cost money", "pneumoctl gpu reap --yes", Exit.GPU_NOT_STOPPED)
    stopped, begun = orphans.stop(findings.orphans)
    hosts = {"stopped": stopped, "leased": [*findings.leased, *begun]}
    console.result(
        {name: [asdict(host) for host in group] for name, group in hosts.items()} | {"unknown": findings.unknown}
    )
    console.text(
        f"stopped: {counted(len(stopped), 'GPU host')} that ran without a lease"
        if findings.orphans
        else "no GPU host runs without a lease" + (" in the regions that answered" if findings.unknown else "")
    )
    for region, why in findings.unknown.items():
        console.warn(f"{region} is not known: {why}")
    return Exit.PARTLY if findings.unknown else Exit.DONE
