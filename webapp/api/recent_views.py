"""The views that this process has recorded lately: the document, the picture and the heat map of a result are one."""

import threading
import time
from collections import OrderedDict

_SAME_VIEW_S = 60.0
_KNOWN_VIEWS = 10_000


class RecentViews:
    """The views that this process has recorded within the last minute. Safe to share between threads."""

    def __init__(self) -> None:
        self._times: OrderedDict[tuple[str, str, str | None], float] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, view: tuple[str, str, str | None]) -> bool:
        """Whether the view was recorded within the last minute."""
        with self._lock:
            return time.monotonic() - self._times.get(view, -_SAME_VIEW_S) < _SAME_VIEW_S

    def add(self, view: tuple[str, str, str | None]) -> None:
        """Note that the view is recorded now."""
        with self._lock:
            self._times.pop(view, None)
            self._times[view] = time.monotonic()
            if len(self._times) > _KNOWN_VIEWS:
                self._times.popitem(last=False)
