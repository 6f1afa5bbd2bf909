"""What a run on the GPU works with, how far it got, and what is known at its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import PneumoError
from pneumoctl.stack.runs import Receipt
from pneumoctl.stack.stack import Stack
from pneumoctl.training.artifacts import Store
from pneumoctl.training.host_link import Link


@dataclass
class Ground:
    """What a run stands on."""

    aws: Aws
    stack: Stack
    host: Instance
    link: Link
    store: Store
    show: Callable[[Mapping[str, Any]], None]  # progress
    note: Callable[[str], None]
    reach: Callable[[Instance], Link]

    def move(self, host: Instance) -> None:
        """The run is on another host."""
        self.host, self.link = host, self.reach(host)


@dataclass
class Done:
    """How far it got."""

    starting: bool = False  # the instance may be on because of us
    begun: bool = False  # the run may be under way there
    over: bool = False  # the unit has ended
    code: int | None = None  # of the unit's main process


@dataclass(frozen=True)
class Closed:
    """The receipt, and why it is not known that the GPU is off, with what to type."""

    receipt: Receipt
    trouble: PneumoError | None
