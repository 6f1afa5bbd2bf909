"""Choose the order in which to try several API addresses: round robin, those that failed recently last."""

import time
from collections.abc import Callable, Sequence
from threading import Lock

_COOL_DOWN = 10.0  # seconds


class RoundRobin:
    """The addresses of one service. Safe to share between threads."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = list(urls)
        self._clock = clock
        self._lock = Lock()
        self._retry_at: dict[str, float] = {}  # address -> when it is treated like the others again

    def order(self) -> list[str]:
        """All addresses in the order to try them; each call starts with the next one."""
        with self._lock:
            self._urls.append(self._urls.pop(0))
            now = self._clock()
            # The sort is stable: among equals the rotation is kept.
            return sorted(self._urls, key=lambda url: self._retry_at.get(url, now) > now)

    def mark_failed(self, url: str) -> None:
        """Try this address last for some seconds."""
        with self._lock:
            self._retry_at[url] = self._clock() + _COOL_DOWN
