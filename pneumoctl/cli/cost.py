"""`pneumoctl cost`: the cost of the stack per hour, and an estimate of the total so far."""

from datetime import UTC, datetime

from pneumoctl.aws import bill, prices, spending
from pneumoctl.aws.bill import Bill, money
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.gpu import orphans
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context, plan
from pneumoctl.terminal.console import console


@on_stack("target", alarm=False)
def cost(invocation: Invocation) -> int:
    """Show what the stack costs (aws).

    An estimate: list prices times hours. The output says what it leaves out. Before the first `up`: what it will cost.

    Exit code 7 if the stack has a GPU host and AWS does not answer: whether it is on is not known.
    """
    settings, stack = invocation
    if not stack.target and settings.target == "aws":
        return _of_plan(settings, stack)
    stack.require_aws("it costs nothing")
    with context.asking_for_gpu(settings, stack):
        aws, _ = context.login(settings, stack)
        orphans.start_alarm(aws)
        list_prices = prices.current(aws, {instance.type for instance in aws.instances(settings.stack)})
        billed = spending.billed(aws, settings.stack, list_prices)
    spent = bill.so_far(billed, datetime.now(UTC))
    whole = Bill(tuple(resource.line for resource in billed), list_prices.date, list_prices.source)
    _show(whole, [money(usd) for _, usd in spent.each])
    console.text(f"so far about {money(spent.usd)}{bill.without(spent.at_least)}; left out: {spent.leaves_out}")
    console.result(
        {"stack": settings.stack, "usd_so_far": round(spent.usd, 4), "leaves_out": spent.leaves_out, **whole.as_dict()}
    )
    return 0


def _of_plan(settings: Settings, stack: Stack) -> int:
    """What a stack will cost that does not exist yet."""
    planned = plan.bill_of_all(settings, stack)
    _show(planned, ["" for _ in planned.lines])
    console.text("nothing so far: `pneumoctl up` makes the stack (prices without traffic)")
    console.result({"stack": settings.stack, "usd_so_far": 0.0, "leaves_out": bill.LEFT_OUT, **planned.as_dict()})
    return 0


def _show(whole: Bill, so_far: list[str]) -> None:
    """A table of the lines, each with its cost so far, and the sums."""
    rows = [
        (line.address, line.what, money(line.usd_per_hour, 4), usd, line.note)
        for line, usd in zip(whole.lines, so_far, strict=True)
    ]
    console.table(("resource", "priced", "USD/hour", "so far", ""), rows)
    console.text(f"{bill.sums(whole)} (list prices of {whole.date}, {whole.source})")
