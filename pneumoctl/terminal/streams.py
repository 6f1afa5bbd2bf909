"""Make the standard streams safe to use: closed ones are opened, unencodable names are escaped."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

# Closed streams are opened in this order, so that each gets its own file descriptor and no other file does. The modes
# are the wrong ones on purpose: using the stream fails, as it does for a closed one.
_CLOSED = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))

STDOUT = "standard output"  # the name of the file in its errors


class _Output(io.TextIOWrapper):
    """Standard output; an error that it raises names it, like an error of any other file."""

    def write(self, text: str) -> int:
        """See TextIOWrapper."""
        with _named():
            return super().write(text)

    def flush(self) -> None:
        """See TextIOWrapper."""
        with _named():
            super().flush()


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = STDOUT
        if error.errno == errno.EBADF:
            error.strerror = "it is closed"
        raise


def prepare() -> None:
    """Open closed streams; have errors of stdout name it, and escape characters that its encoding does not have."""
    for name, flags, mode in _CLOSED:
        if getattr(sys, name) is None:
            setattr(sys, name, _opened(flags, mode))
    if isinstance(out := sys.stdout, io.TextIOWrapper):
        errors = "backslashreplace" if out.errors == "strict" else out.errors
        encoding, lines, through = out.encoding, out.line_buffering, out.write_through
        output = _Output(out.detach(), encoding, errors, line_buffering=lines, write_through=through)
        for name in ("stdout", "__stdout__"):  # shutil.get_terminal_size asks the second one
            setattr(sys, name, output)


def _opened(flags: int, mode: str) -> IO[Any]:
    handle = os.open(os.devnull, flags)
    os.set_inheritable(handle, True)
    return open(handle, mode)  # noqa: PTH123 - for as long as the process lives


def reader_has_gone(error: OSError) -> bool:
    """Whether the reader of stdout has gone. The command ends quietly then, but not when another pipe breaks."""
    return isinstance(error, BrokenPipeError) and error.filename == STDOUT


def discard_output() -> None:
    """Discard buffered output of stdout: its reader has gone, or it cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
