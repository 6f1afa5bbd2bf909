"""What `status` shows beside its table: what is wrong with a stack, each with the next command, and who works on it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pneumoctl.stack import lock
from pneumoctl.stack.stack import Stack


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be. `where`: a host or a service; empty: the stack."""

    where: str
    what: str
    next: str  # the next command

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}; next: {self.next}"


def as_dicts(faults: Iterable[Fault]) -> list[dict[str, str]]:
    """The faults as JSON values."""
    return [asdict(fault) for fault in faults]


def lines(document: Mapping[str, Any]) -> list[str]:
    """The commands that work on the stack, then its faults, from the document of `status`."""
    return [*map(_working, document["working"]), *(str(Fault(**fault)) for fault in document["faults"])]


def working(stack: Stack) -> list[dict[str, Any]]:
    """The pneumoctl that holds the stack's lock, if there is one: its command, pid and since when."""
    holder = lock.holder(stack.lock)
    if holder is None:
        return []
    known = {"command": "", "pid": 0, "since": ""} | holder
    return [known | {"command": f"pneumoctl {known['command']}".strip()}]


def _working(command: Mapping[str, Any]) -> str:
    return f"{command['command']} (process {command['pid']}, since {command['since']}) works on the stack"
