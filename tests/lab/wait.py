"""Wait until a condition is true, with a generous time limit."""

import time
from collections.abc import Callable

PAUSE_SHARE = 0.02  # of the time that was waited, so that the end of a long wait is noticed late by this share


def wait_for(
    what: str, condition: Callable[[], bool], seconds: float = 600, pause: float = 0.1, pause_grows: bool = True
) -> float:
    """Wait until a condition is true; returns how long it took. `what` names the condition, `seconds` limits the wait.

    The pause between two checks grows with the time that has passed, because checks slow down what they wait for.
    Pass `pause_grows=False` to wait for a state that passes again: a long pause could miss it.
    """
    started = time.monotonic()
    while not condition():
        passed = time.monotonic() - started
        assert passed < seconds, f"waited {seconds} s in vain for {what}"
        time.sleep(max(pause, passed * PAUSE_SHARE) if pause_grows else pause)
    return time.monotonic() - started
