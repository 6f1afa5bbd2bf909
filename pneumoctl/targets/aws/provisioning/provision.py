"""Create and destroy the hosts of a stack on aws: terraform, SSH keys, pinned host keys, first boot."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from pneumoctl.aws import leftovers
from pneumoctl.aws.ec2 import HALTED, Instance
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.events import Progress, Report
from pneumoctl.aws.terraform.plan_json import Planned, Saved
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.gpu import orphans, stop
from pneumoctl.results import final_export
from pneumoctl.ssh import keys
from pneumoctl.ssh.console_watch import ConsoleWatch
from pneumoctl.ssh.first_boot import Console
from pneumoctl.stack import inventory, runs
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.journal import Journal
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import boot, unlisted
from pneumoctl.terminal.console import console
from pneumoctl.terminal.progress import Activities

GPU_ADDRESS = 'aws_instance.host["train"]'
GPU_ADDRESSES = {GPU_ADDRESS, leftovers.FIRST_BOOT_ADDRESS}
HERE = "here"  # the setting state_bucket for the stack's directory
_DOING = {
    "create": ("creating", "created"),
    "update": ("updating", "updated"),
    "delete": ("destroying", "destroyed"),
    "read": ("reading", "read"),
    "refresh": ("looking at", "seen"),
}


def prepare(
    context: Context, variables: Mapping[str, Any], recover: unlisted.Recover = "nothing", move: bool = False
) -> None:
    """Make terraform's working copy, and import into its state what exists in AWS and is missing there.

    `recover`: with `check` and `killed`, raise PneumoError for resources of the stack that the state does not list: the
    state is older than the stack, or another machine made it. With `killed`, first import what a killed terraform made
    without recording it; with `all`, import everything. `move`: move the state to where the settings say; otherwise it
    stays where it is.
    """
    settings, terraform = context.settings, context.terraform
    with ThreadPoolExecutor(1) as pool, console.activities("terraform") as shown:
        report = partial(_show, shown)
        terraform.attach(report)  # first: what it is still making or destroying is not lost
        search = recover != "nothing"
        asked = pool.submit(leftovers.search, context.aws, settings.stack, context.bucket) if search else None
        terraform.prepare(variables, _state_bucket(context, move), settings.region, settings.stack, report)
        if asked:
            unlisted.settle(context, asked.result, recover, report)
    if terraform.suspect:
        console.warn("a run of terraform was killed: up or teardown first imports the resources that it created")


def _state_bucket(context: Context, move: bool) -> str:
    """The bucket of terraform's state; empty if that is in the stack's directory. A new stack follows the settings."""
    setting, copy = context.settings.state_bucket, WorkingCopy(context.stack.terraform)
    if (move or copy.backend() is None) and setting:
        return "" if setting == HERE else setting
    return str((copy.backend() or {}).get("bucket", ""))


def plan(context: Context, refresh_only: bool = False) -> Planned:
    """Terraform's plan, read."""
    return context.terraform.read(save_plan(context, refresh_only))


def save_plan(context: Context, refresh_only: bool = False, options: Sequence[str] = ()) -> Saved:
    """Make terraform's plan, and show its progress."""
    with console.activities("plan") as shown:
        return context.terraform.save_plan(refresh_only, partial(_show, shown), options)


def apply(context: Context, saved: Saved) -> None:
    """Carry out a saved plan."""
    if not saved.no_op:
        _act(context, "up", saved.operations, partial(context.terraform.apply, saved))


def destroy(context: Context, addresses: Collection[str]) -> None:
    """Destroy everything in terraform's state. `addresses`: the resources in it."""
    if addresses:
        _act(context, "destroy", len(addresses), context.terraform.destroy)


def _act(context: Context, title: str, operations: int, act: Callable[[Report], None]) -> None:
    """Run a terraform operation, and record its start and end in the journal."""
    journal = Journal(context.stack.journal, title)
    journal.write("start", "terraform", detail=f"{operations} operations")
    try:
        with console.activities(title) as shown:
            shown.expect(operations)
            act(partial(_show, shown))
    except BaseException as error:
        journal.write("fail", "terraform", detail=type(error).__name__)
        raise
    journal.write("done", "terraform")


def wait_until_ready(context: Context) -> Inventory:
    """Wait until every host has booted, and pin the host keys. The training hosts are stopped first."""
    outputs = context.terraform.outputs()
    hosts = inventory.from_outputs(outputs["hosts"], outputs["bastion"])
    context.stack.save_hosts(hosts)
    training = {run.instance for run in runs.list_open(context.stack)}  # may be spot instances, outside the inventory
    keys.forget(context.stack.ssh, training | {host.instance_id for host in hosts.hosts})
    write_atomically(context.stack.ssh / keys.CONFIG, keys.ssh_config(hosts, context.stack.ssh).encode(), 0o600)
    _start_stopped_hosts(context)
    watches = _stop_training_hosts_after_boot(context, hosts)
    boot.wait(context, hosts, [host for host in hosts.hosts if host.role != "train"])
    for watch in watches:
        watch.check(console.note)
    return hosts


def _stop_training_hosts_after_boot(context: Context, hosts: Inventory) -> list[ConsoleWatch]:
    """Stop the training hosts, a new one once it has booted; returns the watches of the new ones."""
    console_output, directory = context.aws.console_output, context.stack.ssh
    training = [host for host in hosts.hosts if host.role == "train"]
    pinned = keys.pins(directory)
    watches = [ConsoleWatch(host, console_output, directory) for host in training if host.instance_id not in pinned]
    for watch in watches:
        stop_training_hosts(context, stop.FIRST_BOOT_S, read_console=watch.read)
    if training and not watches:
        stop_training_hosts(context)
    return watches


def stop_training_hosts(
    context: Context, timeout: float = 0.0, spare_leased: bool = True, read_console: Console | None = None
) -> None:
    """Stop the training hosts (see gpu.stop); with `spare_leased`, hosts of runs that hold a lease keep running.

    Also raises PneumoError (exit 7) if a terraform that we left running may still make or start one.
    """
    expected = context.may_have_training_host

    def leased(host: Instance) -> bool:
        return spare_leased and orphans.awaited_lease(context.aws, host, context.settings.stack) is not None

    stop.stop_training_hosts(context.aws, context.settings.stack, expected, timeout, leased, read_console)
    if expected and context.terraform.current:
        raise stop.unconfirmed(
            context.aws,
            context.settings.stack,
            "terraform is still running and may make it (pneumoctl up waits for it)",
        )


@contextmanager
def gpu_host_reserved(context: Context, changes: Collection[str]) -> Iterator[None]:
    """Name each active run. If the GPU host is among the addresses to be changed, keep runs from starting meanwhile.

    Raises PneumoError (exit 5) if a run uses a host that would be changed, or if a training is about to start there.
    """
    changed = bool(GPU_ADDRESSES & {*changes})
    if context.may_have_training_host:
        _name_active_runs(context, changed)
    with context.stack.gpu_locked("up") if changed else nullcontext():
        yield


def _name_active_runs(context: Context, changed: bool) -> None:
    leases = orphans.leases(context.aws, context.aws.instances(context.settings.stack), context.settings.stack)
    for lease in leases.values():
        if changed:
            hint = f"wait for it, or: pneumoctl runs cancel {lease.run}; to keep the GPU host, set gpu_host = true"
            raise PneumoError(f"the GPU host would be changed, and is used by {lease}", hint, Exit.LOCKED)
        console.note(f"the GPU host is used by {lease}: left alone", "yellow")


def foreign_rules(context: Context) -> list[dict[str, Any]]:
    """Rules that somebody else added to the stack's security groups, as EC2 describes them."""
    groups = [resource.id for resource in context.terraform.resources() if resource.type == "aws_security_group"]
    return recovery.foreign_rules(context.aws, groups) if groups else []


def removal(rule: Mapping[str, Any]) -> str:
    """A line that says that a rule will be removed."""
    return f"-  rule that pneumoctl did not make in {rule['GroupId']}: {recovery.describe_rule(rule)}"


def stopped_hosts(context: Context) -> list[Instance]:
    """Hosts that were stopped outside pneumoctl; terraform does not notice that."""
    serving = (host for host in context.aws.instances(context.settings.stack) if host.role != "train")
    return [host for host in serving if host.state in ("stopping", *HALTED)]


def boot_stopped_hosts(context: Context) -> None:
    """Start the hosts that were stopped outside pneumoctl, and wait until they have booted."""
    started, hosts = _start_stopped_hosts(context), context.stack.hosts()
    if started and hosts:
        boot.wait(context, hosts, [host for host in hosts.hosts if host.instance_id in started])


def _start_stopped_hosts(context: Context) -> set[str]:
    """Returns the ids of the instances that it started."""
    stopped = stopped_hosts(context)
    ids = [host.id for host in stopped]
    if stopped:
        names = ", ".join(host.name for host in stopped)
        was = "was" if len(stopped) == 1 else "were"
        console.note(f"starting {names}, which {was} stopped outside pneumoctl")
        context.aws.stop(stopped)  # wait for hosts that are still stopping: they cannot be started yet
        final_export.forget(context.stack)  # they serve again as soon as they have booted
        context.aws.call("ec2", "start_instances", InstanceIds=ids)
    return set(ids)


def _show(shown: Activities, progress: Progress) -> None:
    """Show one event of terraform."""
    doing, did = _DOING.get(progress.action, (progress.action, progress.action))
    if progress.event == "note":
        shown.note(progress.text)
    elif progress.event == "start":
        shown.begin(progress.address, doing)
    elif progress.event == "done" and progress.action in ("refresh", "read"):
        shown.drop(progress.address)
    elif progress.event == "done":
        shown.end(progress.address, f"{did} in {progress.elapsed:.0f} s")
    elif progress.event == "failed":
        shown.end(progress.address, f"not {did}", succeeded=False)
