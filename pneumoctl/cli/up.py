"""`pneumoctl up`: preflight, plan, ask, act, and the proof by a real prediction."""

import os

from pneumoctl.cli.options import Config, DryRun, Json, NoColor, OfflineBundle, Quiet, StackName, Target, Yes, resolved
from pneumoctl.stack import audit
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import up as aws
from pneumoctl.targets.local.plan import prepare
from pneumoctl.targets.local.up import _act, _show


def up(
    offline_bundle: OfflineBundle = None,
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Bring the stack up and prove it serves.

    Preflight, plan, question, then Redis, API and web page under a supervisor, and a real prediction through the
    page. Safe to repeat: it does what is missing. Exit 4: preflight; 5: locked; 10: the health gate failed.
    """
    settings, place = choose(
        settings_.load(
            {"stack": stack, "target": target, "offline_bundle": resolved(offline_bundle)}, config, os.environ
        )
    )
    if settings.target == "aws":
        return aws.up(settings, place, yes, dry_run)
    if dry_run:
        return _show(prepare(settings, place))
    with place.locked("up"), audit.kept(place, "up", {"yes": yes}) as act:
        return _act(prepare(settings, place), yes, act)
