"""As `sitecustomize`: the clock of one program goes wrong by what a file says; the kernel's is everybody's.

Only the time of day is moved, as a correction moves it: the clocks that count from the boot go on.
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
    """What C code makes is a datetime, too."""

    def __instancecheck__(cls, one: object) -> bool:
        return isinstance(one, _datetime)


class Clock(_datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().now(tz) + datetime.timedelta(seconds=ahead())

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)


time.time = lambda: _time() + ahead()
datetime.datetime = Clock  # type: ignore[misc]
