"""Make the standard streams safe to use: closed ones are opened, unencodable names are escaped."""

import contextlib
import io
import os
import sys
from typing import IO, Any

# Closed streams are opened in this order, so that each gets its own file descriptor and no other file does. The modes
# are the wrong ones on purpose: using the stream fails, as it does for a closed one.
_CLOSED = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def prepare() -> None:
    """Open closed streams, and escape characters that the encoding of stdout does not have."""
    for name, flags, mode in _CLOSED:
        if getattr(sys, name) is None:
            setattr(sys, name, _opened(flags, mode))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _opened(flags: int, mode: str) -> IO[Any]:
    handle = os.open(os.devnull, flags)
    os.set_inheritable(handle, True)
    return open(handle, mode)  # noqa: PTH123 - for as long as the process lives


def discard_output() -> None:
    """Discard buffered output of stdout: its reader has gone, or it cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
