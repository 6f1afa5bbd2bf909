"""The standard streams, made safe to use whatever the caller did to them."""

import contextlib
import io
import os
import sys
from typing import IO, Any

# Closed streams are opened again in this order, so that each gets its own number and no file of ours does. Reading the
# one and writing the other is an error, as it is for a closed stream.
_CLOSED = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def prepare() -> None:
    """Open what is closed, and let standard output show names that its encoding cannot hold, escaped."""
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
    """Send what is still to be written to standard output nowhere: its reader is gone, or it cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
