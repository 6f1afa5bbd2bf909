"""What a target can do, and the target of a stack: the one place that asks where a stack runs."""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, cast

from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.checks import Row
from pneumoctl.terminal.report import Report


class Target(Protocol):
    """Where a stack runs. Methods raise PneumoError; each Report is printed by the command line."""

    def checks(self) -> list[Row]:
        """The preflight checks. Changes nothing."""

    def plan(self) -> Report:
        """What `up` would change; exit code 3 if anything. Changes nothing."""

    def up(self, agreed: bool, dry_run: bool) -> Report:
        """Bring the stack up and prove that it serves; asks unless `agreed`."""

    def status(self) -> Iterator[Report]:
        """What runs and what answers, looked at anew for each report; exit code 1 unless all of it serves."""

    def logs(self, service: str | None, lines: int, follow: bool) -> int:
        """Print the last lines of a service's log, or of all, and what follows; returns the exit code."""

    def teardown(self, purge: bool, agreed: bool, dry_run: bool) -> Report:
        """Export unless `purge`, end everything, prove it; asks unless `agreed`."""

    def api(self) -> AbstractContextManager[Endpoint]:
        """Where the stack's API is, and its bearer token."""

    def served_models(self) -> set[str]:
        """The models (name-version) that serve now."""


def target(settings: Settings, stack: Stack) -> Target:
    """The target of a stack.

    Imported by its name, and only when it is asked for: a stack on this machine needs none of the modules of AWS, and
    another target is a folder here with a module `target`.
    """
    module = importlib.import_module(f"pneumoctl.targets.{settings.target}.target")
    return cast(Target, module.Target(settings, stack))
