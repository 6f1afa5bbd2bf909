"""Follow the file that a process writes, line by line, until the process ends."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.05


class Lines:
    """The new lines of a growing file."""

    def __init__(self, path: Path) -> None:
        self.waiting: deque[str] = deque()  # taken out by the reader
        self._path = path
        self._read = 0
        self._rest = b""

    def more(self, ended: bool) -> deque[str]:
        """Read the new lines. `ended`: the writer has ended, so an unfinished last line counts, too."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            self._read += len(new)
            *whole, self._rest = (self._rest + new).split(b"\n")
            if ended and self._rest:
                whole, self._rest = [*whole, self._rest], b""
            self.waiting.extend(line.decode(errors="replace") for line in whole)
        return self.waiting


def follow(
    lines: Lines,
    ended: Callable[[], bool],
    hear: Callable[[str], None],
    timeout: float = float("inf"),
) -> bool:
    """Pass every line to `hear` until the writer has ended; False if it has not after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        over = ended()  # asked before reading, so that the last lines are read, too
        waiting = lines.more(over)
        while waiting:
            hear(waiting.popleft())
        if over or time.monotonic() > deadline:
            return over
        time.sleep(POLL_S)
