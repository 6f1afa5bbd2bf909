"""Runs in the simulation of the GPU host, and faults in them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneumoctl.training import session as training
from pneumoctl.training.run_context import Summary
from pneumoctl.training.session import Session
from tests.pneumoctl.gpu_simulation import GpuSimulation, order, run, run_context

Fault = Callable[[], None]
PHASES = {  # the call at which the fault is injected
    "arming": "create_schedule",
    "reading back": "get_schedule",
    "starting": "start_instances",
    "booting": "wait_until_ready",
    "bringing": "start_run",
    "training": "next_event",
}


class Signals:
    """Lets everything raise; `faults` raise Interrupted themselves."""

    @contextmanager
    def raising(self) -> Iterator[None]:
        yield


def run_it(simulation: GpuSimulation, folder: Path, **more: Any) -> Summary:
    session = Session(run_context(simulation, folder), run(**more))
    signals: Any = Signals()
    summary = training.run_and_finalize(session, signals, lambda: session.run(order()))
    assert summary is not None
    return summary


def raising(error: BaseException, times: int = 1) -> Fault:
    """A fault that raises the error at the first `times` calls."""
    left = [times]

    def fault() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return fault


def after_calls(fault: Fault, calls: int) -> Fault:
    """A fault that starts after the first `calls` calls."""
    left = [calls]

    def delayed() -> None:
        left[0] -= 1
        if left[0] < 0:
            fault()

    return delayed
