"""What `up` would change on aws: terraform's plan with prices, other repairs in AWS, then the changes on the hosts."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pneumoctl.aws import bill, prices
from pneumoctl.aws.bill import Bill, BillLine, money, sums, without
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.terraform.runner import Planned
from pneumoctl.errors import Exit
from pneumoctl.gpu import orphans
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import preview
from pneumoctl.targets.aws.configuration.change import Task
from pneumoctl.targets.aws.configuration.preview import Preview
from pneumoctl.targets.aws.context import Context, desired_variables, read_only
from pneumoctl.targets.aws.provisioning import preflight as preflight_aws
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import store_loss
from pneumoctl.targets.common import checks
from pneumoctl.terminal.report import Report, Table

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
STYLES = {"create": "green", "update": "yellow", "replace": "yellow", "delete": "red"}


def report(settings: Settings, stack: Stack) -> Report:
    """Run the preflight, then report all that `up` would change in AWS and on the hosts. Read-only, without a lock."""
    with prepared(settings, stack) as context:
        planned = provision.plan(context)
        bill = price(context, planned)
        lost = store_loss.lines(context, planned.changes)
        stopped = [host.name for host in provision.stopped_hosts(context)] if stack.hosts() else []
        repairs = [provision.removal(rule) for rule in provision.foreign_rules(context)]
        repairs += [f"+  start {name}, which was stopped outside pneumoctl" for name in stopped]
        new = hosts_with(planned, "create", "replace") if stack.hosts() else []
        on_hosts = _on_hosts(settings, stack, {*new, *stopped, *hosts_with(planned, "delete")})
    gets = (f"{name} is new: it gets everything" for name in new)
    text = (*blocks(planned, bill), *lost, *repairs, *gets, *on_hosts.lines)
    more = {"repairs": repairs, "new_hosts": new, "lost": lost, "configure": list(on_hosts.lines)}
    code = Exit.CHANGES if planned.changes or repairs else on_hosts.code
    return Report(document(context, planned, bill) | more | {"hosts": on_hosts.document()}, text, code)


@contextmanager
def prepared(settings: Settings, stack: Stack) -> Iterator[Context]:
    """Run the preflight (exit 4 if it fails), and yield a context that can plan; refuses an older state."""
    check(settings, stack)
    with read_only(settings, stack) as context:
        orphans.start_alarm(context.aws)
        provision.prepare(context, desired_variables(context, make_key=False), "check")
        yield context


def bill_of_all(settings: Settings, stack: Stack) -> Bill:
    """The price of all that the first `up` will make. Runs the preflight; read-only, without a lock."""
    with prepared(settings, stack) as context:
        return price(context, provision.plan(context))


def hosts_with(planned: Planned, *actions: str) -> list[str]:
    """The hosts with which terraform will do one of these actions; not the training host, which is not configured."""
    addresses = (change.address for change in planned.changes if change.action in actions)
    names = (re.fullmatch(r'aws_instance\.host\["(.+)"\]', address) for address in addresses)
    return [name[1] for name in names if name and name[1] != "train"]


def _on_hosts(settings: Settings, stack: Stack, without: Collection[str]) -> Preview:
    """What would change on the hosts that run and stay."""
    inventory = stack.hosts()
    hosts = inventory.hosts if inventory else ()
    names = [host.name for host in hosts if host.role != "train" and host.name not in without]
    return preview.preview(settings, stack, Task("up", hosts=names)) if names else preview.NOTHING


def check(settings: Settings, stack: Stack) -> None:
    """Run the preflight. Raises PneumoError (exit 4) if it fails."""
    Aws(settings.profile, settings.region)  # a wrong region is a usage error, not a failed check
    checks.require(preflight_aws.rows(settings, stack))


def price(context: Context, planned: Planned) -> Bill:
    """What each change adds to the bill."""
    types = {str((change.after or {}).get("instance_type", "")) for change in planned.changes} - {""}
    return bill.changed(planned.changes, prices.current(context.aws, types))


def blocks(planned: Planned, bill: Bill) -> tuple[str | Table, ...]:
    """A table with a row for each change and its price, and the sums."""
    if not planned.changes:
        return ("nothing to do: AWS is as planned",)
    rows = [_row(action, what, line) for action, what, line in _lines(planned, bill)]
    styles = [STYLES[action] for action, _, _ in _lines(planned, bill)]
    counts = {sign: sum(change.action == action for change in planned.changes) for action, sign in SIGNS.items()}
    return (
        Table(("", "resource", "", "USD/hour", "USD/month"), rows, styles),
        ", ".join(f"{sign}{count}" for sign, count in counts.items() if count) + " resources",
        f"{_price_change(bill)} (traffic is billed in addition; prices of {bill.date}, {bill.source})",
    )


def _price_change(bill: Bill) -> str:
    """How the changes change the price of the stack."""
    if not round(bill.usd_per_hour, 4):
        return f"the price of the stack does not change{without(bill.at_least)}"
    return f"the price of the stack changes by {sums(bill, plus='+')}"


def _lines(planned: Planned, bill: Bill) -> Iterator[tuple[str, str, BillLine | None]]:
    """(action, what, price): a line for each priced or changed resource, and one for all others of a type."""
    many: Counter[tuple[str, str]] = Counter()
    for change in planned.changes:
        priced = bill.of(change.address)
        if change.action in ("update", "replace"):
            yield change.action, f"{change.address}: {', '.join(change.attributes)}", None
        for line in priced:
            yield change.action, change.address, line
        if not priced and change.action in ("create", "delete"):
            many[change.action, change.address.partition("[")[0]] += 1
    for (action, address), count in many.items():
        yield action, f"{address} x {count}" if count > 1 else address, None


def _row(action: str, what: str, line: BillLine | None) -> tuple[str, ...]:
    if line is None:
        return SIGNS[action], what, "", "", ""
    priced = line.what + (f" ({line.note})" if line.note else "")
    return SIGNS[action], what, priced, money(line.usd_per_hour, 4), money(line.usd_per_month)


def document(context: Context, planned: Planned, bill: Bill) -> dict[str, Any]:
    """The JSON document of a plan, without attribute values, which may be private."""
    return {
        "stack": context.settings.stack,
        "target": "aws",
        "region": context.settings.region,
        "changes": [{"address": change.address, "action": change.action} for change in planned.changes],
        **bill.as_dict(),
    }
