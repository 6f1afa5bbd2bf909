"""Commands over the connections of a test, and how long they take."""

import time
from collections.abc import Callable

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import remote_command
from pneumoctl.ssh.connections import Connections
from tests.pneumoctl.sshd import Farm

EARLY_S = 60.0  # generous for a busy machine; the commands and limits that must not be waited for are far longer


def timed(act: Callable[[], object]) -> tuple[float, PneumoError]:
    """Seconds until it fails, and how."""
    began = time.monotonic()
    with pytest.raises(PneumoError) as caught:
        act()
    return time.monotonic() - began, caught.value


def run(connections: Connections, farm: Farm, name: str, *argv: str, limit: float = 60) -> str:
    return remote_command.run(connections, farm.host(name), argv or ("true",), limit).stdout
