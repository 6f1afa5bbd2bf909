"""The exception that is shown to the user, and the exit codes."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the process; docs/exit-codes.md explains them."""

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
    """A failure: what happened to what (`message`), the next command (`hint`), the exit `code`."""

    def __init__(self, message: str, hint: str = "", code: int = Exit.FAILED, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.details = details

    def as_dict(self) -> dict[str, object]:
        """The JSON document of this error, printed on stdout under `--json`."""
        return {"error": {"message": self.message, "hint": self.hint, "code": int(self.code), **self.details}}
