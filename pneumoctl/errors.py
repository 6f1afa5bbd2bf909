"""The exception that is shown to the user, and the exit codes."""

from collections.abc import Iterator
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


def in_words(error: BaseException) -> str:
    """What an exception says, for a message to the user: without the names of Python's classes.

    The first cause that the system has words for counts: a library's own exception often wraps it.
    """
    for cause in _causes(error):
        if isinstance(cause, TimeoutError) or type(cause).__name__.endswith(("Timeout", "TimeoutError")):
            return "it did not answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return f"{cause.filename}: {cause.strerror}" if isinstance(cause.filename, str) else cause.strerror
        if type(cause).__module__ == "http.client" and not isinstance(cause, OSError):
            return "its answer is no complete HTTP response"
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing" if error.args else "a value is missing"
    return " ".join(str(error).split()) or "it gives no reason"


def unexpected(error: BaseException) -> str:
    """The message about an exception that nobody foresaw. The name of its class is for whoever reads the report."""
    if isinstance(error, OSError):
        return in_words(error)
    return f"unexpected error in pneumoctl, please report it ({type(error).__name__}: {error})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and what it was raised from, at most ten of them."""
    for _ in range(10):
        if error is None:
            return
        yield error
        reason = getattr(error, "reason", None)  # of urllib3's MaxRetryError
        handled = None if error.__suppress_context__ else error.__context__  # `raise ... from None` suppresses it
        error = reason if isinstance(reason, BaseException) else error.__cause__ or handled
