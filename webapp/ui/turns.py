"""Which of several API addresses to ask: each in its turn, and last those that did not answer lately."""

import time
from collections.abc import Callable, Sequence
from threading import Lock

_REST = 10.0  # seconds


class Turns:
    """The addresses of one service. Safe to share between threads."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = list(urls)
        self._clock = clock
        self._lock = Lock()
        self._resting: dict[str, float] = {}  # address -> when it is as good as the others again

    def order(self) -> list[str]:
        """All addresses in the order to try them, another one first at each call."""
        with self._lock:
            self._urls.append(self._urls.pop(0))
            now = self._clock()
            return sorted(self._urls, key=lambda url: self._resting.get(url, now) > now)  # stable: turns are kept

    def silent(self, url: str) -> None:
        """It did not answer: for some seconds it is tried last."""
        with self._lock:
            self._resting[url] = self._clock() + _REST
