"""Accounts on an empty Redis, with a clock that a test sets."""

from dataclasses import dataclass

import pytest

from tests.webapp.api.records import settings
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.accounts.proof import Accounts
from webapp.api.storage.connection import connect
from webapp.api.storage.seal import Seal

IDLE_S, ABSOLUTE_S = 1800.0, 43200.0
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """A time that only a test changes, in seconds since 1970."""

    time: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    """The accounts' clock."""
    return Clock()


@pytest.fixture
def accounts(redis_server: RedisServer, clock: Clock) -> Accounts:
    """Accounts on an empty Redis, with the rights of the API's user of Redis."""
    return Accounts.of(
        connect(settings(redis_server.port)), Seal(bytes.fromhex(MAC_KEY)), IDLE_S, ABSOLUTE_S, now=clock
    )


@pytest.fixture
def alice(accounts: Accounts):
    """An active reviewer."""
    _, link = accounts.users.create("alice", "reviewer")
    return accounts.log_in_by_link(link.token, PASSWORD, "192.0.2.1")
