"""`pneumoctl cost`: the cost of the stack per hour, and an estimate of the total so far."""

from datetime import UTC, datetime

from pneumoctl.aws import bill, prices, spending
from pneumoctl.aws.bill import money
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.gpu import orphans
from pneumoctl.targets.aws import context
from pneumoctl.terminal.console import console


@on_stack(alarm=False)
def cost(invocation: Invocation) -> int:
    """Show what the stack costs (aws).

    An estimate: list prices times hours. The output says what it leaves out.
    """
    settings, stack = invocation
    stack.require_aws("it costs nothing")
    aws, _ = context.login(settings, stack)
    orphans.start_alarm(aws)
    list_prices = prices.current(aws, {instance.type for instance in aws.instances(settings.stack)})
    billed = spending.billed(aws, settings.stack, list_prices)
    spent = bill.so_far(billed, datetime.now(UTC))
    whole = bill.Bill(tuple(resource.line for resource in billed), list_prices.date, list_prices.source)
    rows = [
        (
            resource.line.address,
            resource.line.what,
            money(resource.line.usd_per_hour, digits=4),
            money(usd),
            resource.line.note,
        )
        for resource, usd in spent.each
    ]
    console.table(("resource", "priced", "USD/hour", "so far", ""), rows)
    hour, month = money(whole.usd_per_hour, whole.at_least, 4), money(whole.usd_per_month, whole.at_least)
    console.text(
        f"{hour} an hour, {month} a month of 730 hours (list prices of {list_prices.date}, {list_prices.source})"
    )
    console.text(f"so far about {money(spent.usd, spent.at_least)}, without {spent.leaves_out}")
    console.result(
        {"stack": settings.stack, "usd_so_far": round(spent.usd, 4), "leaves_out": spent.leaves_out, **whole.as_dict()}
    )
    return 0
