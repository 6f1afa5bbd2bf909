"""The standard streams of a command."""

import os
import pty
import shutil
import sys
import termios

import pytest

from pneumoctl.terminal import streams


def test_the_width_of_the_terminal_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is wrapped at it. `shutil.get_terminal_size` asks the terminal of sys.__stdout__."""
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 61))
    stream = os.fdopen(end, "w")
    for name in ("stdout", "__stdout__"):
        monkeypatch.setattr(sys, name, stream)
    streams.prepare()
    with sys.stdout:
        assert shutil.get_terminal_size().columns == 61
    os.close(terminal)
