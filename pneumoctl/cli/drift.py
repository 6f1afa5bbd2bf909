"""`pneumoctl drift`: what somebody else changed in AWS and on the hosts since the last `up`."""

from concurrent.futures import ThreadPoolExecutor

from pneumoctl.aws.terraform.recovery import describe_rule
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit
from pneumoctl.gpu import orphans
from pneumoctl.targets.aws import drift as hosts
from pneumoctl.targets.aws import provision
from pneumoctl.targets.aws.context import last_applied_variables, open_context, require_aws
from pneumoctl.targets.aws.drift import Row
from pneumoctl.terminal.console import console


@on_stack()
def drift(invocation: Invocation) -> int:
    """Show what differs from what `up` made (aws).

    Asks AWS about every resource, and the hosts about every file, unit, package and release. Changes nothing.

    Exit codes: 3 something differs, and `up` repairs it; 1 a host could not be asked.
    """
    settings, stack = invocation
    require_aws(stack)
    with stack.locked("drift"), ThreadPoolExecutor(1) as aside:
        known = stack.hosts()
        asked = aside.submit(hosts.look, settings, stack, known) if known else None
        context = open_context(settings, stack)
        orphans.start_alarm(context.aws)
        provision.prepare(context, last_applied_variables(context))
        found = provision.plan(context, refresh_only=True).drifted
        rows = [
            Row("gone", change.address, "")
            if change.action == "delete"
            else Row("changed", change.address, ", ".join(change.attributes))
            for change in found
        ]
        rows += [Row("added", rule["GroupId"], describe_rule(rule)) for rule in provision.foreign_rules(context)]
        stopped = {host.name: host.id for host in provision.stopped_hosts(context)}
        rows += [Row("stopped", *host) for host in stopped.items()]
        on_hosts, differences = asked.result() if asked else ([], [])
    rows += [
        row for row in on_hosts if row.what != "unknown" or row.where not in stopped
    ]  # stopped hosts cannot answer
    if rows:
        console.table(("", "resource", "what"), [(row.what, row.where, row.detail) for row in rows])
        for line in differences:
            console.text(line)
        console.text("next: pneumoctl up")
    else:
        console.text("no drift: AWS and the hosts are as `up` left them")
    documents = [{"what": row.what, "address": row.where, "detail": row.detail} for row in rows]
    console.result({"stack": settings.stack, "drift": documents, "differences": differences})
    if any(row.what == "unknown" for row in rows):
        return Exit.FAILED
    return Exit.CHANGES if rows else Exit.DONE
