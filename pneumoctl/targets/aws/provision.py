"""Bring the hosts of a stack on aws up and down: keys, terraform, pinned host keys, boot marks."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

from pneumoctl.aws import leftovers
from pneumoctl.aws.ec2 import HALTED, Instance
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.events import Progress, Report
from pneumoctl.aws.terraform.plan_json import Planned, Saved
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.gpu import orphans, stop
from pneumoctl.ssh import first_boot, keys
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack import inventory, runs
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.journal import Journal
from pneumoctl.targets.aws.context import Site
from pneumoctl.terminal.console import console
from pneumoctl.terminal.progress import Activities

GPU_ADDRESS = 'aws_instance.host["train"]'
HERE = "here"  # the setting state_bucket for the stack's directory
Recover = Literal["nothing", "killed", "all"]
FIRST_BOOT = 300.0  # seconds that a new training host has to end its boot script; it then powers itself off, too
_DOING = {
    "create": ("creating", "created"),
    "update": ("updating", "updated"),
    "delete": ("destroying", "destroyed"),
    "read": ("reading", "read"),
    "refresh": ("looking at", "seen"),
}


def prepare(one: Site, wished: Mapping[str, Any], recover: Recover = "nothing", move: bool = False) -> None:
    """The working copy, and into the state what exists in AWS and is not in it.

    `recover`: `killed`: what a terraform that was killed had made and not written down; PneumoError if there is a
    stack of this name that the state knows nothing of. `all`: that, too. `move`: the state to where the settings want
    it; else it stays where it is, whatever they say.
    """
    settings, terraform = one.settings, one.terraform
    with ThreadPoolExecutor(1) as pool, console.activities("terraform") as shown:
        report = partial(_show, shown)
        terraform.attach(report)  # first, or what it is making or destroying would be found and taken for lost
        asked = pool.submit(leftovers.found, one.aws, settings.stack, one.bucket) if recover != "nothing" else None
        terraform.prepare(wished, _state_bucket(one, move), settings.region, settings.stack, report)
        unknown = asked is not None and not terraform.resources()
        if asked and unknown and asked.result() and not terraform.suspect and recover == "killed":
            raise _elsewhere(one, len(asked.result()))
        if asked and (unknown or terraform.suspect):
            recovery.recover(terraform, one.aws, asked.result(), report)
    if terraform.suspect:
        console.warn("a run of terraform was killed: up or teardown first takes in what it had made")


def _elsewhere(one: Site, count: int) -> PneumoError:
    return PneumoError(
        f"{one.settings.region} has {count} things of a stack named {one.settings.stack}, and terraform's state here "
        "knows none of them: it was made from another machine, or its state was lost",
        "take another --stack; or set state_bucket to the bucket of its state; or, destroying it: pneumoctl teardown",
    )


def _state_bucket(one: Site, move: bool) -> str:
    """The bucket of terraform's state, empty for the stack's directory; a new stack's is where the settings say."""
    wished, copy = one.settings.state_bucket, WorkingCopy(one.stack.terraform)
    if (move or not copy.directory.exists()) and wished:
        return "" if wished == HERE else wished
    return str((copy.backend() or {}).get("bucket", ""))


def plan(one: Site, refresh_only: bool = False) -> Planned:
    """Terraform's plan, read."""
    return one.terraform.read(save_plan(one, refresh_only))


def save_plan(one: Site, refresh_only: bool = False) -> Saved:
    """Terraform's plan, with what it is looking at shown meanwhile."""
    with console.activities("plan") as shown:
        return one.terraform.save_plan(refresh_only, partial(_show, shown))


def apply(one: Site, saved: Saved) -> None:
    """Do what was planned."""
    if not saved.no_op:
        _act(one, "up", saved.operations, partial(one.terraform.apply, saved))


def destroy(one: Site, addresses: Collection[str]) -> None:
    """Destroy all that the state knows: `addresses`."""
    if addresses:
        _act(one, "destroy", len(addresses), one.terraform.destroy)


def _act(one: Site, title: str, operations: int, act: Callable[[Report], None]) -> None:
    """Have terraform change something; the journal says when, and how it ended."""
    journal = Journal(one.stack.journal, title)
    journal.write("start", "terraform", detail=f"{operations} operations")
    try:
        with console.activities(title) as shown:
            shown.expect(operations)
            act(partial(_show, shown))
    except BaseException as error:
        journal.write("fail", "terraform", detail=type(error).__name__)
        raise
    journal.write("done", "terraform")


def arrive(one: Site) -> Inventory:
    """From terraform's outputs to hosts that have booted and whose keys are pinned; the GPU ends stopped."""
    outputs = one.terraform.outputs()
    known = inventory.from_outputs(outputs["hosts"], outputs["bastion"])
    one.stack.save_hosts(known)
    going_on = {run.instance for run in runs.list_open(one.stack)}  # perhaps on a spot instance
    keys.forget(one.stack.ssh, going_on | {host.instance_id for host in known.hosts})
    write_atomically(one.stack.ssh / keys.CONFIG, keys.ssh_config(known, one.stack.ssh).encode(), 0o600)
    _wake(one)
    awaited = [host for host in known.hosts if host.role != "train"]
    with Connections(known, one.stack.ssh) as connections, console.activities("boot") as shown:
        shown.expect(len(awaited))

        def report(host: Host, said: str) -> None:
            shown.end(host.name, said) if said == "up" else shown.begin(host.name, said)

        first_boot.wait(awaited, connections, one.aws.console_output, one.stack.ssh, report)
    if len(awaited) < len(known.hosts):
        rest(one, FIRST_BOOT)
    for host in known.hosts:
        if host not in awaited:
            first_boot.pin_stopped(host, one.aws.console_output, one.stack.ssh)
    return known


def rest(one: Site, patience: float = 0.0, spare: bool = True) -> None:
    """See gpu.stop_training_hosts; with `spare`, a run that goes on under its lease is left alone.

    A terraform that we left running may still make or start the GPU host: that is exit 7, too.
    """
    expected = one.gpu

    def leased(host: Instance) -> bool:
        return spare and host.id in orphans.leases(one.aws, [host], one.settings.stack)

    stop.stop_training_hosts(one.aws, one.settings.stack, expected, patience, leased)
    if expected and one.terraform.going_on:
        raise stop.unconfirmed(
            one.aws, one.settings.stack, "terraform goes on and may make it yet (pneumoctl up waits)"
        )


def undisturbed(one: Site, changes: Callable[[], Collection[str]]) -> None:
    """Tell of a run that goes on. PneumoError (exit 5) if its host is among the addresses that would be changed."""
    if not one.gpu:
        return
    known = orphans.leases(one.aws, one.aws.instances(one.settings.stack), one.settings.stack)
    for lease in known.values():
        if GPU_ADDRESS in changes():
            hint = f"wait for it, or: pneumoctl runs cancel {lease.run}; a GPU host that is to stay: gpu_host = true"
            raise PneumoError(f"run {lease.run} goes on, and its host would be changed", hint, Exit.LOCKED)
        until = f"{lease.until:%Y-%m-%d %H:%M} UTC"
        console.note(f"run {lease.run} goes on on the GPU host, until {until} at most: it is left alone", "yellow")


def foreign(one: Site) -> list[dict[str, Any]]:
    """Rules that somebody else put into our security groups, as EC2 describes them."""
    groups = [known.id for known in one.terraform.resources() if known.type == "aws_security_group"]
    return recovery.foreign_rules(one.aws, groups) if groups else []


def asleep(one: Site) -> list[Instance]:
    """Hosts that somebody stopped, which terraform does not look at."""
    ours = (host for host in one.aws.instances(one.settings.stack) if host.role != "train")
    return [host for host in ours if host.state in ("stopping", *HALTED)]


def _wake(one: Site) -> None:
    stopped = asleep(one)
    if stopped:
        console.note(f"starting {', '.join(host.name for host in stopped)}: stopped by somebody else")
        one.aws.stop(stopped)  # waits for those that are still stopping: they cannot be started yet
        one.aws.call("ec2", "start_instances", InstanceIds=[host.id for host in stopped])


def _show(shown: Activities, said: Progress) -> None:
    """Draw one event of terraform's."""
    doing, did = _DOING.get(said.action, (said.action, said.action))
    if said.event == "note":
        shown.note(said.text)
    elif said.event == "start":
        shown.begin(said.address, doing)
    elif said.event == "done" and said.action in ("refresh", "read"):
        shown.drop(said.address)
    elif said.event == "done":
        shown.end(said.address, f"{did} in {said.elapsed:.0f} s")
    elif said.event == "failed":
        shown.end(said.address, f"not {did}", succeeded=False)
