"""`pneumoctl doctor`: the preflight checks, a row each with its fix."""

import os

from pneumoctl.cli.options import Config, Json, NoColor, Quiet, StackName, Target
from pneumoctl.errors import Exit
from pneumoctl.gpu import orphans
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import preflight as preflight_aws
from pneumoctl.targets.common import checks
from pneumoctl.targets.local import preflight
from pneumoctl.terminal.console import console


def doctor(
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Check this machine, and on aws the account; say how to mend it.

    Changes nothing. Exit 4 if a check fails.
    """
    settings, place = choose(settings_.load({"stack": stack, "target": target}, config, os.environ))
    orphans.mind(place)
    found = (preflight_aws if settings.target == "aws" else preflight).rows(settings, place)
    good = all(row.good for row in found)
    console.table(
        ("", "check", "seen", "fix"),
        [("ok" if row.good else "FAIL", row.check, row.seen, "" if row.good else row.fix) for row in found],
        ["" if row.good else "bold red" for row in found],
    )
    console.result({"stack": settings.stack, "good": good, "checks": checks.as_dicts(found)})
    return Exit.DONE if good else Exit.PREFLIGHT
