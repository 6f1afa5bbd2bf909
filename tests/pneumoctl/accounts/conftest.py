"""The real API with users, and a stack on this machine whose API it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from pneumoctl.accounts.client import Accounts
from pneumoctl.scoring.api_client import ApiClient, Endpoint
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Ports, Stack, find
from pneumoctl.targets.local import target
from tests.serving import serving
from tests.webapp.servers import TOKEN, RedisServer, api_environment, running_redis
from webapp import api as webapp_api

PAGE_TOKEN = "the-token-of-the-page-of-tests"


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def served(redis_server: RedisServer, tiny_bundle: Path) -> Iterator[str]:
    """The URL of the API."""
    environment = api_environment(redis_server.port, tiny_bundle)
    app = webapp_api.create_app({**environment, "AUTH": "users", "PAGE_TOKEN": PAGE_TOKEN})
    with serving(make_server("127.0.0.1", 0, app, threaded=True)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def url(served: str, redis_server: RedisServer) -> str:
    """The URL of the API, in whose store there is no account."""
    redis_server.client().flushall()
    return served


@pytest.fixture
def accounts(url: str) -> Accounts:
    """Its accounts, as pneumoctl sees them."""
    return Accounts(ApiClient(url, TOKEN))


@pytest.fixture
def stack(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack with users on this machine, whose API it is; the page is at port 3."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PNEUMO_AUTH", "users")
    monkeypatch.chdir(tmp_path)
    made = find("default")
    made.save(Secrets.generate(), Ports({"redis": 1, "api": 2, "ui": 3}, {"redis": 1, "api": 2, "ui": 3}))
    monkeypatch.setattr(target.api, "remote_api", lambda name: Endpoint(url, TOKEN))
    return made
