"""The state of one lab's AWS, apart from moto's."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.api.calls import Calls
from tests.lab.api.clock import Clock
from tests.lab.api.faults import ActiveFaults

ACCOUNT = "123456789012"


@dataclass
class ApiState:
    """The state of the lab's AWS. `lock` is held while moto answers or the clock acts: moto is not thread-safe."""

    directory: Path
    calls: Calls
    faults: ActiveFaults = field(default_factory=ActiveFaults)
    clock: Clock = field(default_factory=Clock)
    lock: threading.RLock = field(default_factory=threading.RLock)


_states: list[ApiState] = []


def build(directory: Path) -> ApiState:
    """Create the state of this process. `directory`: that of the console logs and recorded calls."""
    directory.mkdir(parents=True, exist_ok=True)
    _states[:] = [ApiState(directory, Calls(directory / "calls.jsonl"))]
    return current_state()


def current_state() -> ApiState:
    """The state of this process. The patches of moto, which has one instance per process, use this."""
    return _states[0]
