"""Handle Ctrl-C, SIGTERM and SIGHUP while a GPU is on: they never interrupt the stop of the GPU."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal arrived; `code` is the exit code. A BaseException, so that no handler of errors catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.code = 128 + number


class Interrupts:
    """Handles the signals. Within `raising` a signal raises Interrupted; elsewhere it only causes a note."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._raises = note, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._handle) for number in NUMBERS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise Interrupted at the first signal within the block."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._raises:
            self._raises = False
            raise Interrupted(number)
        ignore_output_errors(self._note)("the GPU is being stopped; this command ends when that is proven")


def ignore_output_errors(write: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same function without its errors: a closed terminal or pipe must not end a run.

    SystemExit, too: Rich exits the process when its pipe is broken.
    """

    def safe(value: Any) -> None:
        with suppress(Exception, SystemExit):
            write(value)

    return safe
