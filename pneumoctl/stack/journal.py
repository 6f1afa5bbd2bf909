"""The append-only record of what was done to a stack, step by step."""

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path


class Journal:
    """One line of JSON an event; a rerun reads none of it: it probes the hosts instead."""

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self.run = uuid.uuid4().hex[:12]
        self.command = command

    def write(self, event: str, step: str = "", host: str = "", detail: str = "") -> None:
        """Append one event. After teardown has removed the stack's directory there is nowhere to write."""
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
