"""What one lab's AWS is made of besides moto."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.api.calls import Calls
from tests.lab.api.clock import Clock
from tests.lab.api.faults import Faults

ACCOUNT = "123456789012"


@dataclass
class Lab:
    """`lock` is held while moto answers or the clock acts: moto's dictionaries bear no two at once."""

    state: Path
    calls: Calls
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    lock: threading.RLock = field(default_factory=threading.RLock)


_built: list[Lab] = []


def build(state: Path) -> Lab:
    """The lab of this process, whose consoles and calls lie in `state`."""
    state.mkdir(parents=True, exist_ok=True)
    _built[:] = [Lab(state, Calls(state / "calls.jsonl"))]
    return here()


def here() -> Lab:
    """The lab of this process: moto is one to a process, and so are the mends, which ask this."""
    return _built[0]
