"""A stack that many tests share: brought up for the first test, and in its desired state before each test."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.lab.machine.lab import Lab
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

Evidence = TypeVar("Evidence")
LOCKED = 5  # exit code: another pneumoctl works on the stack


@dataclass
class SharedStack(Generic[Evidence]):
    """A shared stack. `bring_up` creates it and returns a record of that for the tests."""

    lab: Lab
    settings: Mapping[str, str]
    bring_up: Callable[[Operator], Evidence]
    suspect: bool = False  # a test failed, so the state of the stack is unknown
    prepared: set[str] = field(default_factory=set)  # one-time preparations of fixtures for the current stack
    _evidence: Evidence | None = None

    def __post_init__(self) -> None:
        self.operator = Operator(self.lab, dict(self.settings))

    def ready(self) -> Operator:
        """The operator of the stack, after the stack was brought to its desired state."""
        self.operator.settings = dict(self.settings)
        if self.suspect:
            self._repair()
        if not self.operator.directory.exists():
            self._build()
        elif self.operator.applied != self.settings:
            self.operator.run("up", "-y")
        self.operator.restore_releases()
        return self.operator

    @property
    def evidence(self) -> Evidence:
        """The result of `bring_up` for the current stack."""
        self.ready()
        assert self._evidence is not None
        return self._evidence

    def _build(self) -> None:
        self.prepared.clear()
        self.operator.original.clear()
        self.operator.promoted = False
        self._evidence = self.bring_up(self.operator)

    def _repair(self) -> None:
        """After a failed test, repair the stack; if that fails, start again with an empty lab."""
        self.suspect = False
        with suppress(Exception):  # whatever it is: the empty lab below is always right
            self.lab.reset()
            if self.operator.directory.exists():
                self.operator.run("gpu", "reap", "-y", code=None)
                self.operator.run("gpu", "stop", code=None)
                self.operator.restore_releases()
                wait_for(
                    "no lease to be held", lambda: self.operator.run("up", "-y", code=None).returncode != LOCKED, 120
                )
                if self.operator.applied:
                    return
        self.lab.down()
        self.lab.up()
