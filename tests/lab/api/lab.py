"""The state of one lab's AWS, apart from moto's."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.api.calls import Calls
from tests.lab.api.clock import Clock
from tests.lab.api.faults import Faults

ACCOUNT = "123456789012"


@dataclass
class Lab:
    """The state of a lab. `lock` is held while moto answers or the clock acts: moto is not thread-safe."""

    state: Path
    calls: Calls
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    lock: threading.RLock = field(default_factory=threading.RLock)


_built: list[Lab] = []


def build(state: Path) -> Lab:
    """Create the lab of this process. `state`: the directory of its console logs and recorded calls."""
    state.mkdir(parents=True, exist_ok=True)
    _built[:] = [Lab(state, Calls(state / "calls.jsonl"))]
    return here()


def here() -> Lab:
    """The lab of this process. The patches of moto, which has one instance per process, use this."""
    return _built[0]
