"""As `sitecustomize`: change the clock of one program by the offset in a file, because the kernel's clock is shared.

Only the time of day changes, as a correction changes it. The monotonic clocks are unchanged.
"""

import datetime
import os
import time
from pathlib import Path
from typing import Any

AHEAD = Path(os.environ.get("SECONDS_AHEAD", "/run/seconds-ahead"))
_time, _datetime = time.time, datetime.datetime


def ahead() -> float:
    try:
        return float(AHEAD.read_text())
    except (OSError, ValueError):
        return 0.0


class _Kind(type):
    """Makes isinstance also accept datetimes that C code creates."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


class Clock(_datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().now(tz) + datetime.timedelta(seconds=ahead())

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)


time.time = lambda: _time() + ahead()
datetime.datetime = Clock  # type: ignore[misc]
