"""`up` on aws: preflight, terraform's plan, question, apply, hosts awaited and configured, and the proof."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pneumoctl.aws.bill import Bill
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.plan_json import Planned, Saved
from pneumoctl.errors import PneumoError
from pneumoctl.stack import audit
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import change, context, plan, provision
from pneumoctl.targets.aws.context import Site
from pneumoctl.targets.aws.desired import LOGIN
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report


def up(settings: Settings, stack: Stack, agreed: bool, dry_run: bool) -> Report:
    """Provision, wait for every host, make it what it should be, and send a real prediction through the front door."""
    with stack.locked("up"), audit.recorded(stack, "up", {"yes": agreed}) as act, ThreadPoolExecutor(1) as aside:
        one = plan.prepare(settings, stack, up=not dry_run)
        saved = provision.save_plan(one)
        if dry_run:
            planned, bill = _read(one, saved)
            return Report(plan.document(one, planned, bill), plan.blocks(planned, bill))
        read = aside.submit(_show, one, saved)  # agreed: while terraform sets out, which takes as long
        provision.undisturbed(one, lambda: {resource.address for resource in read.result()[0].changes})
        strange = provision.foreign(one)
        for rule in strange:
            console.note(f"-  somebody else's rule in {rule['GroupId']}: {recovery.describe_rule(rule)}", "red")
        if not agreed and (read.result()[0].changes or strange) and not console.ask("Go on?"):
            raise PneumoError("not agreed: nothing was changed", "answer y, or give --yes")
        act.arn = one.account.arn
        act.begin(audit.plan_digest(saved.path.read_bytes()))
        context.remember(one)
        try:
            provision.apply(one, saved)
            recovery.remove_foreign_rules(one.aws, {rule["GroupId"] for rule in strange})
            known = provision.arrive(one)
        finally:
            provision.rest(one)  # however this ended, and whatever else is broken
        changed = [resource.address for resource in read.result()[0].changes]
        changed += [rule["SecurityGroupRuleId"] for rule in strange]
        act.changed = changed
        document = change.change(settings, stack, change.Task("up"), agreed or bool(changed), act)
    return _report(known, changed, document)


def _read(one: Site, saved: Saved) -> tuple[Planned, Bill]:
    planned = one.terraform.read(saved)
    return planned, plan.price(one, planned)


def _show(one: Site, saved: Saved) -> tuple[Planned, Bill]:
    """Read the plan and print it before it is asked about."""
    planned, bill = _read(one, saved)
    console.show(plan.blocks(planned, bill), stderr=True)
    return planned, bill


def _report(known: Inventory, provisioned: list[str], document: dict[str, Any]) -> Report:
    hosts = [{"name": host.name, "address": host.address, "instance": host.instance_id} for host in known.hosts]
    serving = [host for host in known.hosts if host.role != "train"]
    address = known.bastion.public_address
    document["changed"] = [*provisioned, *document["changed"]]
    stopped = "; the GPU host is stopped" if len(serving) < len(hosts) else ""
    lines = (
        *change.lines(document, "the stack is up"),
        f"{len(serving)} hosts up, host keys pinned: pneumoctl ssh {serving[0].name}{stopped}",
        f"web page: https://{address} (user {LOGIN}; its password: pneumoctl secrets show)",
    )
    return Report({**document, "address": address, "url": f"https://{address}", "hosts": hosts}, lines)
