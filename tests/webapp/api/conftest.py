"""A store on an empty Redis."""

import pytest

from tests.webapp.api.records import settings
from tests.webapp.servers import RedisServer
from webapp.api.storage.store import Store


@pytest.fixture
def store(redis_server: RedisServer) -> Store:
    """A store on an empty Redis."""
    return Store.open(settings(redis_server.port))
