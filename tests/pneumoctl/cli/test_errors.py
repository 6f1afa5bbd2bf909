"""Errors of the operating system: what is printed, and the exit code."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.terminal import streams


@contextmanager
def stdout_is(handle: int) -> Iterator[None]:
    """Make this handle standard output, prepared as in a process of its own."""
    with pytest.MonkeyPatch.context() as patched:
        stream = os.fdopen(handle, "w")
        for name in ("stdout", "__stdout__"):
            patched.setattr(sys, name, stream)
        streams.prepare()
        with sys.stdout:
            yield


def full() -> int:
    """A file on a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def unread() -> int:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("stdout", [full, unread])
@pytest.mark.parametrize("found", [Exit.CHANGES, Exit.GPU_NOT_STOPPED])
def test_a_finding_keeps_its_code_although_it_cannot_be_printed(
    stdout: Callable[[], int], found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(**_: Any) -> int:
        print("a finding")
        return found

    monkeypatch.setattr("pneumoctl.cli.main.app", app)
    with stdout_is(stdout()):
        assert run(["drift"]) == found
