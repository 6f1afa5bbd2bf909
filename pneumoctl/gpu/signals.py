"""Ctrl-C, SIGTERM and SIGHUP while a GPU is on: they break off what may be broken off, and never what stops the GPU."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal came; `code` is what the process exits with. Nothing that handles errors takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.code = 128 + number


class Interrupts:
    """Takes the signals over. Within `raising` one of them raises Interrupted; elsewhere it is only told of."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._open = tell, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._take) for number in NUMBERS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Until the end of the block, or the first signal, whichever comes first."""
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._open:
            self._open = False
            raise Interrupted(number)
        unheard(self._tell)("the GPU is being stopped; this ends when that is proven")


def unheard(tell: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same, though nobody may be listening any more: a terminal or a pipe that is gone ends nothing.

    Rich exits the process when its pipe is broken.
    """

    def told(words: Any) -> None:
        with suppress(Exception, SystemExit):
            tell(words)

    return told
