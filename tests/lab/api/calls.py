"""Record every call to the lab's AWS, in memory and as a line of calls.jsonl."""

import json
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.api.request import Call


@dataclass(frozen=True)
class Record:
    """A call and its result. `agent`: the client, by User-Agent; `source`: its address; `fault`: the matched fault."""

    number: int
    time: str
    service: str
    action: str
    target: str
    mutating: bool
    status: int
    agent: str
    source: str
    milliseconds: int
    fault: str


class Calls:
    """The recorded calls of the operator and the hosts. The lab's own calls (agent `lab`) are left out."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._records: list[Record] = []
        self._number = 0
        self._lock = threading.Lock()

    def add(self, call: Call, status: int, seconds: float, fault: str = "") -> None:
        if call.agent == "lab":
            return
        with self._lock:
            self._number += 1
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            entry = {
                name: getattr(call, name) for name in ("service", "action", "target", "mutating", "agent", "source")
            }
            record = Record(
                number=self._number, time=time, status=status, milliseconds=round(seconds * 1000), fault=fault, **entry
            )
            self._records.append(record)
            with self._file.open("a") as out:
                out.write(json.dumps(asdict(record)) + "\n")

    def reset(self) -> None:
        """Reset the counts. The file keeps its lines, and the numbering continues."""
        with self._lock:
            self._records.clear()

    def report(self, since: int = 0, mutating: bool | None = None) -> dict[str, Any]:
        """Counts and records of the calls numbered above `since`."""
        with self._lock:
            records = [one for one in self._records if one.number > since]
        wanted = [one for one in records if mutating in (None, one.mutating)]
        changing = sum(one.mutating for one in records)
        return {
            "total": len(records),
            "mutating": changing,
            "reading": len(records) - changing,
            "last": self._number,
            "calls": [asdict(one) for one in wanted],
        }
