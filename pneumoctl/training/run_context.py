"""The context of a run on the GPU, its milestones, and its summary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import PneumoError
from pneumoctl.stack.runs import Receipt
from pneumoctl.stack.stack import Stack
from pneumoctl.training.artifacts import RunStore
from pneumoctl.training.host_link import HostLink


@dataclass
class RunContext:
    """AWS, the stack, the host and the outputs of one run."""

    aws: Aws
    stack: Stack
    host: Instance
    link: HostLink
    store: RunStore
    show_progress: Callable[[Mapping[str, Any]], None]
    note: Callable[[str], None]
    connect: Callable[[Instance], HostLink]

    def switch_host(self, host: Instance) -> None:
        """Continue on another host."""
        self.host, self.link = host, self.connect(host)


@dataclass
class Milestones:
    """The points that a run has reached."""

    start_requested: bool = False  # the instance may be on because of this run
    start_refused: bool = False  # EC2 answered that it does not start the instance
    run_started: bool = False  # the training may have begun on the host
    unit_ended: bool = False  # the host's training unit is known to have ended
    exit_code: int | None = None  # of the unit's main process


@dataclass(frozen=True)
class Summary:
    """The receipt of a run, and why the GPU is not confirmed off, with the command to type; None if it is off.

    `hint`: the next command, if this outcome has one of its own.
    """

    receipt: Receipt
    stop_failure: PneumoError | None
    hint: str = ""
