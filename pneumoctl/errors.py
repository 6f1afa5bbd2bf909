"""The one error that a user is meant to see, and the exit codes."""

from enum import IntEnum


class Exit(IntEnum):
    """Process exit codes, one meaning each."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHANGES = 3
    PREFLIGHT = 4
    LOCKED = 5
    PARTLY = 6
    GPU_NOT_STOPPED = 7
    TRAINING_FAILED = 8
    CAP_REACHED = 9
    GATE_FAILED = 10
    INTERRUPTED = 130


class PneumoError(Exception):
    """Something failed: what and why (`message`), the next command to type (`hint`), the exit `code`."""

    def __init__(self, message: str, hint: str = "", code: int = Exit.FAILED, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.details = details

    def as_dict(self) -> dict[str, object]:
        """The JSON document that stands for this error on stdout under `--json`."""
        return {"error": {"message": self.message, "hint": self.hint, "code": int(self.code), **self.details}}
