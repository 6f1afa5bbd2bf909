"""The journal of a stack: an append-only file of step events, one event per line."""

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path


class Journal:
    """Writes one line of JSON for each event. Only for diagnosis: a rerun probes the hosts and does not read it."""

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self.run = uuid.uuid4().hex[:12]
        self.command = command

    def write(self, event: str, step: str = "", host: str = "", detail: str = "") -> None:
        """Append one event; does nothing once teardown has removed the stack's directory."""
        if not self.path.parent.is_dir():
            return
        record = {
            "at": datetime.now(UTC).isoformat("T", "milliseconds"),
            "run": self.run,
            "command": self.command,
        }
        record |= {key: value for key, value in (("step", step), ("host", host), ("detail", detail)) if value}
        line = json.dumps({**record, "event": event}) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
