"""The Target protocol, and the choice of a stack's target, which is made only here."""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, cast

from pneumoctl.results.transfer import ResultStore
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.checks import Row
from pneumoctl.targets.common.keep import Keep
from pneumoctl.terminal.report import Report


class Target(Protocol):
    """A target on which a stack runs. Methods raise PneumoError; the command line prints each Report."""

    def checks(self) -> list[Row]:
        """The preflight checks. Changes nothing."""

    def plan(self) -> Report:
        """The changes that `up` would make; exit code 3 if there are any. Changes nothing."""

    def up(
        self, agreed: bool, dry_run: bool, adopt: bool = False, lose_results: bool = False, admin: str = ""
    ) -> Report:
        """Bring the stack up and prove that it serves; asks unless `agreed`.

        `admin`: the name of the first admin, who is made if there is no user. `adopt`: see the option of `up`. Raises
        PneumoError, unless `lose_results`, if a host with results of which there is no copy would be replaced.
        """

    def status(self) -> Iterator[Report]:
        """The current state for each report; exit code 1 unless everything serves."""

    def logs(self, service: str | None, lines: int, follow: bool) -> int:
        """Print the last lines of one log or of all, and with `follow` new lines; returns the exit code."""

    def teardown(self, keep: Keep, agreed: bool, dry_run: bool, end_training: bool = False) -> Report:
        """Export what `keep` says, remove the stack and prove it; asks unless `agreed`.

        `end_training`: whether a training on the stack's GPU host may be ended; asks if not.
        """

    def results(self) -> AbstractContextManager[ResultStore]:
        """The store of the stack's results, to export them or to import some."""

    def api(self) -> AbstractContextManager[Endpoint]:
        """The address of the stack's API, and its bearer token."""

    def page(self) -> str:
        """The address of the web page, as people open it. Raises PneumoError if the stack was never brought up."""

    def served_models(self) -> set[str]:
        """The models (name-version) that serve now."""


def target(settings: Settings, stack: Stack) -> Target:
    """The target of a stack.

    Its module is imported by name, only when needed, so that a stack on this machine loads no module for AWS. To add a
    target, add a folder here with a module `target`.
    """
    module = importlib.import_module(f"pneumoctl.targets.{settings.target}.target")
    return cast(Target, module.Target(settings, stack))
