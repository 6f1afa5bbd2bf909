"""The local target, as an implementation of the Target protocol."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results.transfer import ResultStore
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import service_logs
from pneumoctl.targets.common.checks import Row
from pneumoctl.targets.common.keep import Keep
from pneumoctl.targets.local import api, plan, preflight, results, status, teardown, up
from pneumoctl.terminal.report import Report


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
        self._refuse("up", "--adopt", adopt, "it has no terraform state to adopt")
        self._refuse("up", "--lose-results", lose_results, "no host of it is replaced")
        if admin and self.settings.login == "none":
            message = (
                f"--admin is for stacks with users: everybody who reaches the page of {self.stack.name} may use it"
            )
            raise PneumoError(message, 'pneumoctl up; or set auth = "users"', Exit.USAGE)
        return up.up(self.settings, self.stack, agreed, dry_run, admin)

    def status(self) -> Iterator[Report]:
        """See Target."""
        while True:
            yield status.report(status.gather_status(self.stack))

    def logs(self, service: str | None, lines: int, follow: bool) -> int:
        """See Target."""
        return service_logs.show(self.stack, service, lines, follow)

    def teardown(self, keep: Keep, agreed: bool, dry_run: bool, end_training: bool = False) -> Report:
        """See Target."""
        self._refuse("teardown", "--end-training", end_training, "it has no GPU host")
        return teardown.teardown(self.stack, keep, agreed, dry_run)

    def _refuse(self, verb: str, option: str, given: bool, reason: str) -> None:
        """Raise PneumoError (usage) if an option is given that is for stacks on aws."""
        if given:
            message = f"{option} is for stacks on aws: {self.stack.name} runs on this machine (target local), {reason}"
            raise PneumoError(message, f"pneumoctl {verb}", Exit.USAGE)

    def results(self) -> AbstractContextManager[ResultStore]:
        """See Target."""
        return nullcontext(results.running_store(self.stack))

    def api(self) -> AbstractContextManager[Endpoint]:
        """See Target."""
        return nullcontext(api.remote_api(self.stack.name))

    def page(self) -> str:
        """See Target."""
        inventory = self.stack.inventory()
        if inventory is None:
            raise self.stack.missing()
        return inventory.url("ui")

    def served_models(self) -> set[str]:
        """See Target."""
        link = self.stack.layout.models / "current"
        return {link.readlink().name} if link.is_symlink() else set()
