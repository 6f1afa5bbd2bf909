"""Fixtures: a separate network, and in it a front door with one web host behind it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.templates.front import Front, Host, Upstream, host
from tests.templates.programs import own_network
from webapp.ui import guard


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """For all tests of a file: what they start listens where it will listen on the hosts."""
    with own_network():
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder; pytest's own are closed to other users, and nginx's workers are one."""
    with tempfile.TemporaryDirectory(prefix="pneumoctl-front-") as made:
        yield Path(made)


@pytest.fixture
def page() -> Iterator[Host]:
    """A web host that sets its headers as the real one does."""
    with host("127.0.0.11", {**guard.HEADERS, "Cache-Control": "no-store"}) as made:
        yield made


@pytest.fixture
def front(folder: Path, page: Host) -> Iterator[Front]:
    """nginx before that host."""
    with Front(folder, Upstream("127.0.0.11")) as made:
        yield made
