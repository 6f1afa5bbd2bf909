"""Follow what a process writes into a file, line by line, to its end."""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.05


class Lines:
    """The lines that a growing file has got since they were last asked for."""

    def __init__(self, path: Path) -> None:
        self.waiting: deque[str] = deque()  # the reader's to take out
        self._path = path
        self._read = 0
        self._rest = b""

    def more(self, ended: bool) -> deque[str]:
        """`ended`: nothing will follow, so that an unfinished line is a line."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            self._read += len(new)
            *whole, self._rest = (self._rest + new).split(b"\n")
            if ended and self._rest:
                whole, self._rest = [*whole, self._rest], b""
            self.waiting.extend(one.decode(errors="replace") for one in whole)
        return self.waiting


def follow(
    lines: Lines,
    ended: Callable[[], bool],
    hear: Callable[[str], None],
    patience: float = float("inf"),
) -> bool:
    """Hear every line until the writer has ended; False if it has not when `patience` (seconds) is over."""
    deadline = time.monotonic() + patience
    while True:
        over = ended()  # asked before reading, so that its last words are read
        waiting = lines.more(over)
        while waiting:
            hear(waiting.popleft())
        if over or time.monotonic() > deadline:
            return over
        time.sleep(POLL_S)
