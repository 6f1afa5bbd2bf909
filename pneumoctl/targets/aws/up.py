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
from pneumoctl.targets.aws import change as hosts
from pneumoctl.targets.aws import context, plan, provision
from pneumoctl.targets.aws.context import Site
from pneumoctl.targets.aws.desired import LOGIN
from pneumoctl.terminal.console import console


def up(settings: "Settings", stack: "Stack", agreed: bool, dry_run: bool) -> int:
    """Provision, wait for every host, make it what it should be, and send a real prediction through the front door."""
    with stack.locked("up"), audit.kept(stack, "up", {"yes": agreed}) as act, ThreadPoolExecutor(1) as aside:
        one = plan.prepare(settings, stack, up=not dry_run)
        saved = provision.save_plan(one)
        read = aside.submit(_show, one, saved, not dry_run)  # agreed: while terraform sets out, which takes as long
        if dry_run:
            console.result(plan.document(one, *read.result()))
            return 0
        provision.undisturbed(one, lambda: {change.address for change in read.result()[0].changes})
        strange = provision.foreign(one)
        for rule in strange:
            console.note(f"-  somebody else's rule in {rule['GroupId']}: {recovery.said(rule)}", "red")
        if not agreed and (read.result()[0].changes or strange) and not console.ask("Go on?"):
            raise PneumoError("not agreed: nothing was changed", "answer y, or give --yes")
        act.arn = one.account.arn
        act.begin(audit.digest(saved.path.read_bytes()))
        context.remember(one)
        try:
            provision.apply(one, saved)
            recovery.close(one.aws, {rule["GroupId"] for rule in strange})
            known = provision.arrive(one)
        finally:
            provision.rest(one)  # however this ended, and whatever else is broken
        changed = [change.address for change in read.result()[0].changes]
        changed += [rule["SecurityGroupRuleId"] for rule in strange]
        act.changed = changed
        document = hosts.change(settings, stack, hosts.Task("up"), agreed or bool(changed), act)
        _report(one, known, changed, document)
    return 0


def _show(one: "Site", saved: "Saved", stderr: bool) -> "tuple[Planned, Bill]":
    """Read the plan and print it."""
    planned = one.terraform.read(saved)
    bill = plan.price(one, planned)
    plan.table(planned, bill, stderr)
    return planned, bill


def _report(one: "Site", known: "Inventory", provisioned: list[str], document: dict[str, Any]) -> None:
    told = [{"name": host.name, "address": host.address, "instance": host.instance_id} for host in known.hosts]
    up = [host for host in known.hosts if host.role != "train"]
    url = f"https://{known.bastion.public_address}"
    document["changed"] = [*provisioned, *document["changed"]]
    console.result({**document, "address": known.bastion.public_address, "url": url, "hosts": told})
    hosts.tell(document, "the stack is up")
    stopped = "; the GPU host is stopped" if len(up) < len(told) else ""
    console.text(f"{len(up)} hosts up, host keys pinned: pneumoctl ssh {up[0].name}{stopped}")
    console.text(f"web page: {url} (user {LOGIN}; its password: pneumoctl secrets show)")
