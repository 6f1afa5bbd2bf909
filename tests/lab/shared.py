"""A stack that many tests share: brought up when a test wants it, and before each as its settings say."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.lab.machine.lab import Lab
from tests.lab.operated import Operator
from tests.lab.small import until

Evidence = TypeVar("Evidence")
LOCKED = 5  # exit code: somebody else works on the stack


@dataclass
class SharedStack(Generic[Evidence]):
    """`bring_up` makes it from nothing and returns what tests want to know of that."""

    lab: Lab
    settings: Mapping[str, str]
    bring_up: Callable[[Operator], Evidence]
    suspect: bool = False  # a test failed: nobody knows how it left the stack
    prepared: set[str] = field(default_factory=set)  # what fixtures did once to the stack that is up now
    _evidence: Evidence | None = None

    def __post_init__(self) -> None:
        self.operator = Operator(self.lab, dict(self.settings))

    def ready(self) -> Operator:
        """The stack as its settings say, whatever the tests before did to it."""
        self.operator.settings = dict(self.settings)
        if self.suspect:
            self._repair()
        if not self.operator.directory.exists():
            self._build()
        elif self.operator.applied != self.settings:
            self.operator.run("up", "-y")
        return self.operator

    @property
    def evidence(self) -> Evidence:
        """What `bring_up` returned for the stack that is up now."""
        self.ready()
        assert self._evidence is not None
        return self._evidence

    def _build(self) -> None:
        self.prepared.clear()
        self._evidence = self.bring_up(self.operator)

    def _repair(self) -> None:
        """After a failed test: put everything right, or begin with an empty lab where that cannot be done."""
        self.suspect = False
        with suppress(Exception):  # whatever it is: the empty lab below is always right
            self.lab.heal()
            if self.operator.directory.exists():
                self.operator.run("gpu", "reap", "-y", code=None)
                self.operator.run("gpu", "stop", code=None)
                until("no lease to be held", lambda: self.operator.run("up", "-y", code=None).returncode != LOCKED, 120)
                if self.operator.applied:
                    return
        self.lab.down()
        self.lab.up()
