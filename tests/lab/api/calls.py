"""Record every call to the lab's AWS, in memory and as a line of calls.jsonl."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.api.request import Call

CALL_FIELDS = ("service", "action", "target", "mutating", "agent", "source")


class Calls:
    """The recorded calls of the operator and the hosts. The lab's own calls (agent `lab`) are left out.

    A record has a number and the fields of a call and its result. `agent`: the client, by User-Agent; `source`: its
    address; `fault`: the matched fault.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)
        self._records: list[dict[str, Any]] = []
        self._number = 0
        self._lock = threading.Lock()

    def add(self, call: Call, status: int, seconds: float, fault: str = "") -> None:
        if call.agent == "lab":
            return
        with self._lock:
            self._number += 1
            record = {
                "number": self._number,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **{name: getattr(call, name) for name in CALL_FIELDS},
                "status": status,
                "milliseconds": round(seconds * 1000),
                "fault": fault,
            }
            self._records.append(record)
            self._file.write(json.dumps(record) + "\n")

    def reset(self) -> None:
        """Reset the counts. The file keeps its lines, and the numbering continues."""
        with self._lock:
            self._records.clear()

    @property
    def last(self) -> int:
        """The number of the last call."""
        return self._number

    def report(self, since: int = 0, mutating: bool | None = None) -> dict[str, Any]:
        """Counts and records of the calls numbered above `since`."""
        with self._lock:
            first = self._number - len(self._records)
            records = self._records[max(0, since - first) :]
        mutating_count = sum(record["mutating"] for record in records)
        return {
            "total": len(records),
            "mutating": mutating_count,
            "reading": len(records) - mutating_count,
            "last": self._number,
            "calls": [record for record in records if mutating in (None, record["mutating"])],
        }
