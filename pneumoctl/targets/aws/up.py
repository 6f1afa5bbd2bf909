"""`up` on aws: check, plan, ask, apply, wait for the hosts, configure them, and prove that the stack serves."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pneumoctl.accounts import first_admin
from pneumoctl.accounts.client import Accounts
from pneumoctl.accounts.first_admin import FirstAdmin
from pneumoctl.aws.bill import Bill
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.plan_json import Change, Planned, Saved
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.gpu.stop import stopping_at_end
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import api, plan
from pneumoctl.targets.aws.configuration import change, desired
from pneumoctl.targets.aws.context import Context, desired_variables, open_context, save_stack
from pneumoctl.targets.aws.provisioning import gpu_placement, provision, ssh_key, unlisted
from pneumoctl.targets.aws.store import new_store, stack_secrets, store_loss, wanted_imports
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report, counted


def up(
    settings: Settings,
    stack: Stack,
    agreed: bool,
    dry_run: bool,
    adopt: bool = False,
    lose_results: bool = False,
    admin: str = "",
) -> Report:
    """Provision, wait for every host, configure it, and have a picture scored through the front door."""
    if dry_run:
        return replace(plan.report(settings, stack), code=Exit.DONE)
    with (
        stack.locked("up"),
        audit.recorded(stack, "up", {"yes": agreed, "adopt": adopt, "lose_results": lose_results}) as act,
        ThreadPoolExecutor(1) as aside,
        ExitStack() as reserved,
    ):
        context = _prepare(settings, stack, adopt)
        saved = provision.save_plan(context)
        reserved.enter_context(provision.gpu_host_reserved(context, saved.addresses))
        read = aside.submit(_show, context, saved)  # while AWS and the hosts are asked below
        ssh_key.refuse_unless_accepted(context)
        stack_secrets.refuse_loss(context, lambda: read.result()[0].changes)
        foreign = provision.foreign_rules(context)
        for rule in foreign:
            console.note(provision.removal(rule), "red")
        if not agreed and (read.result()[0].changes or foreign) and not console.ask("Continue?"):
            raise PneumoError("cancelled: nothing was changed", "answer y, or give --yes")
        act.arn = context.account.arn
        changes = () if saved.no_op else read.result()[0].changes
        with store_loss.secured(context, changes, lose_results, adopt):
            act.begin(audit.plan_digest(saved.path.read_bytes()))
            inventory = _provision(context, saved, changes, foreign, adopt)
        changed = [resource.address for resource in read.result()[0].changes]
        changed += [rule["SecurityGroupRuleId"] for rule in foreign]
        act.changed = changed
        document = change.change(settings, stack, change.Task("up"), agreed or bool(changed), act)
        document["imported"] = wanted_imports.import_all(stack)
        first = _make_first_admin(stack, admin, act)
    return _report(settings, inventory, changed, document, first)


def _prepare(settings: Settings, stack: Stack, adopt: bool) -> Context:
    """Run the preflight, move the state if the settings say so, and import what a killed terraform left.

    With `adopt`, import everything that the state does not list; otherwise raise PneumoError for such resources.
    """
    plan.check(settings, stack)
    context = open_context(settings, stack)
    orphans.start_alarm(context.aws)
    recover: unlisted.Recover = "all" if adopt else "killed"
    provision.prepare(context, desired_variables(context, make_key=True), recover, move=True)
    return context


def _provision(
    context: Context, saved: Saved, changes: Sequence[Change], foreign: Sequence[Mapping[str, Any]], adopt: bool
) -> Inventory:
    """Carry out the plan, remove foreign rules, wait for the hosts, and have the stack's secrets here."""
    save_stack(context)
    stack_secrets.make_for_new_stack(context)
    with stopping_at_end(lambda: provision.stop_training_hosts(context)):
        with new_store.recorded(context, changes):
            gpu_placement.apply(context, saved)
        recovery.remove_foreign_rules(context.aws, {rule["GroupId"] for rule in foreign})
        inventory = provision.wait_until_ready(context)
        stack_secrets.read_back(context, inventory, adopt)
    return inventory


def _make_first_admin(stack: Stack, name: str, act: CommandRecord) -> FirstAdmin:
    with api.forwarded(stack) as endpoint:
        first = first_admin.ensure(Accounts(ApiClient.of(endpoint)), name)
    act.changed = [*(act.changed or ()), *first.changed]
    return first


def _read(context: Context, saved: Saved) -> tuple[Planned, Bill]:
    planned = context.terraform.read(saved)
    return planned, plan.price(context, planned)


def _show(context: Context, saved: Saved) -> tuple[Planned, Bill]:
    """Read the plan and print it, for the question."""
    planned, bill = _read(context, saved)
    console.show((*plan.blocks(planned, bill), *store_loss.lines(context, planned.changes)), stderr=True)
    return planned, bill


def _report(
    settings: Settings, inventory: Inventory, provisioned: list[str], document: dict[str, Any], first: FirstAdmin
) -> Report:
    hosts = [{"name": host.name, "address": host.address, "instance": host.instance_id} for host in inventory.hosts]
    serving = [host for host in inventory.hosts if host.role != "train"]
    address = inventory.bastion.public_address
    url = desired.page(settings, inventory)
    document["changed"] = [*provisioned, *document["changed"], *first.changed]
    stopped = "; the GPU host is stopped" if len(serving) < len(hosts) else ""
    imported = document["imported"]
    lines = (
        *change.lines(document, "the stack is up"),
        f"{counted(len(serving), 'host')} up, host keys pinned: pneumoctl ssh {serving[0].name}{stopped}",
        f"web page: {url}",
        *([f"{counted(imported['added'], 'result')} imported into the new store"] if imported else ()),
        *first.lines(url),
    )
    return Report({**document, "address": address, "url": url, "hosts": hosts, "admin": first.document(url)}, lines)
