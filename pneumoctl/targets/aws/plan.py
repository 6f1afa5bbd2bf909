"""What `up` would change on aws: terraform's plan with prices, then the changes on the hosts."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pneumoctl.aws import bill, prices
from pneumoctl.aws.bill import Bill, BillLine, money
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.terraform.runner import Planned
from pneumoctl.errors import Exit
from pneumoctl.gpu import orphans
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.secrets import NoSecrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import change as hosts
from pneumoctl.targets.aws import preflight as preflight_aws
from pneumoctl.targets.aws import provision, unlisted
from pneumoctl.targets.aws.context import Context, desired_variables, open_context
from pneumoctl.targets.common import checks
from pneumoctl.terminal.report import Report, Table

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
STYLES = {"create": "green", "update": "yellow", "replace": "yellow", "delete": "red"}


def report(settings: Settings, stack: Stack) -> Report:
    """Run the preflight, then report terraform's plan, its prices, and the changes on the hosts. Read-only in AWS."""
    with stack.locked("plan"):
        context = prepare(settings, stack)
        planned = provision.plan(context)
        bill = price(context, planned)
        following = configuring(settings, stack) if stack.hosts() and not planned.changes else []
    code = Exit.CHANGES if planned.changes else Exit.DONE
    return Report(
        document(context, planned, bill) | {"configure": following}, (*blocks(planned, bill), *following), code
    )


def prepare(settings: Settings, stack: Stack, up: bool = False, adopt: bool = False) -> Context:
    """Run the preflight (exit 4 if it fails) and make the working copy. Changes nothing in AWS.

    For `up`, also move the state if the settings say so, and import what a killed terraform left; with `adopt`, import
    everything that the state does not list. Otherwise, raise PneumoError for such resources.
    """
    Aws(settings.profile, settings.region)  # a wrong region is a usage error, not a failed check
    checks.require(preflight_aws.rows(settings, stack))
    context = open_context(settings, stack)
    orphans.start_alarm(context.aws)
    provision.prepare(context, desired_variables(context, make_key=up), _recover(up, adopt), move=up)
    return context


def _recover(up: bool, adopt: bool) -> unlisted.Recover:
    if not up:
        return "check"
    return "all" if adopt else "killed"


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
    hour, month = money(bill.usd_per_hour, bill.at_least, 4), money(bill.usd_per_month, bill.at_least)
    return (
        Table(("", "resource", "", "USD/hour", "USD/month"), rows, styles),
        ", ".join(f"{sign}{count}" for sign, count in counts.items() if count) + " resources",
        f"price: {hour} an hour, {month} a month of 730 hours, without traffic (prices of {bill.date}, {bill.source})",
    )


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
    return SIGNS[action], what, priced, money(line.usd_per_hour, digits=4), money(line.usd_per_month)


def document(context: Context, planned: Planned, bill: Bill) -> dict[str, Any]:
    """The JSON document of a plan, without attribute values, which may be private."""
    return {
        "stack": context.settings.stack,
        "target": "aws",
        "region": context.settings.region,
        "changes": [{"address": change.address, "action": change.action} for change in planned.changes],
        **bill.as_dict(),
    }


def configuring(settings: Settings, stack: Stack) -> list[str]:
    """The steps and files that would change on the hosts, as text."""
    try:
        lines, differences, _ = hosts.preview(settings, stack, hosts.Task("up"))
    except (Unreachable, NoSecrets, Damaged) as error:
        return [f"what would change on the hosts is not known: {error.message}"]
    return [*lines, *differences]
