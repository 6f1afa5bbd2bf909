"""A store on an empty Redis."""

import pytest

from tests.webapp.api.records import settings
from tests.webapp.servers import RedisServer
from webapp.api.storage.lists import ListedStore


@pytest.fixture
def store(redis_server: RedisServer) -> ListedStore:
    """A store on an empty Redis."""
    return ListedStore.open(settings(redis_server.port))
