"""The aws target, as an implementation of the Target protocol."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pneumoctl.gpu import orphans
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import api, logs, plan, preflight, status, teardown, up
from pneumoctl.targets.common import service_logs
from pneumoctl.targets.common.checks import Row
from pneumoctl.terminal.report import Report

ON_THIS_MACHINE = ("terraform",)  # what logs here


@dataclass(frozen=True)
class Target:
    """See targets.dispatch.Target."""

    settings: Settings
    stack: Stack

    def checks(self) -> list[Row]:
        """See Target."""
        orphans.start_alarm_for(self.stack)
        return preflight.rows(self.settings, self.stack)

    def plan(self) -> Report:
        """See Target."""
        return plan.report(self.settings, self.stack)

    def up(self, agreed: bool, dry_run: bool, adopt: bool) -> Report:
        """See Target."""
        return up.up(self.settings, self.stack, agreed, dry_run, adopt)

    def status(self) -> Iterator[Report]:
        """See Target."""
        return status.reports(self.settings, self.stack)

    def logs(self, service: str | None, lines: int, follow: bool) -> int:
        """See Target."""
        if service in ON_THIS_MACHINE:
            return service_logs.show(self.stack, service, lines, follow)
        orphans.start_alarm_for(self.stack)
        return logs.logs(self.stack, service, lines, follow)

    def teardown(self, purge: bool, agreed: bool, dry_run: bool) -> Report:
        """See Target."""
        return teardown.teardown(self.settings, self.stack, purge, agreed, dry_run)

    def api(self) -> AbstractContextManager[Endpoint]:
        """See Target."""
        orphans.start_alarm_for(self.stack)
        return api.forwarded(self.stack)

    def served_models(self) -> set[str]:
        """See Target."""
        return api.served_models(self.stack)
