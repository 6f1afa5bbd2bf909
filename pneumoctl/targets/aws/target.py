"""The aws target, as an implementation of the Target protocol."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pneumoctl.results.transfer import ResultStore
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.ssh import openssh
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import api, plan, teardown, up
from pneumoctl.targets.aws.configuration import desired, proof
from pneumoctl.targets.aws.inspection import logs, status
from pneumoctl.targets.aws.provisioning import preflight
from pneumoctl.targets.aws.store import results
from pneumoctl.targets.common import service_logs
from pneumoctl.targets.common.checks import Row
from pneumoctl.targets.common.keep import Keep
from pneumoctl.terminal.report import Report

ON_THIS_MACHINE = ("terraform",)  # what logs here


@dataclass(frozen=True)
class Target:
    """See targets.dispatch.Target."""

    settings: Settings
    stack: Stack

    def checks(self) -> list[Row]:
        """See Target."""
        return preflight.rows(self.settings, self.stack)

    def plan(self) -> Report:
        """See Target."""
        return plan.report(self.settings, self.stack)

    def up(
        self, agreed: bool, dry_run: bool, adopt: bool = False, lose_results: bool = False, admin: str = ""
    ) -> Report:
        """See Target."""
        return up.up(self.settings, self.stack, agreed, dry_run, adopt, lose_results, admin)

    def status(self) -> Iterator[Report]:
        """See Target."""
        return status.reports(self.settings, self.stack)

    def logs(self, service: str | None, lines: int, follow: bool) -> int:
        """See Target."""
        if service in ON_THIS_MACHINE:
            return service_logs.show(self.stack, service, lines, follow)
        return logs.logs(self.stack, service, lines, follow)

    def teardown(self, keep: Keep, agreed: bool, dry_run: bool, end_training: bool = False) -> Report:
        """See Target."""
        return teardown.teardown(self.settings, self.stack, keep, agreed, dry_run, end_training)

    def results(self) -> AbstractContextManager[ResultStore]:
        """See Target."""
        return results.opened(self.stack)

    def api(self) -> AbstractContextManager[Endpoint]:
        """See Target."""
        return api.forwarded(self.stack)

    def page(self) -> str:
        """See Target."""
        return desired.page(self.settings, openssh.inventory(self.stack))

    def served_models(self) -> set[str]:
        """See Target."""
        return proof.served_models(self.stack)
