"""The journal of a stack: an append-only file of step events, one event per line."""

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

from pneumoctl.stack.documents import warn_once


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
        try:
            self._append(json.dumps({**record, "event": event}))
        except OSError as error:  # no reason to leave a step undone, or a GPU running
            warn_once(f"the journal cannot be written: {self.path}: {error.strerror}")

    def _append(self, line: str) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(handle).st_size
            cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # its writer was killed
            os.write(handle, ("\n" * cut + line + "\n").encode())
        finally:
            os.close(handle)
