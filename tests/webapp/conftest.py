"""A real Redis, the API on a small real model, and pictures to send."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata

from model import phantom
from tests.webapp.servers import TOKEN, RedisServer, api_environment, running_redis
from webapp import api


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests that do not stop it."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """The shared Redis, emptied."""
    shared_redis.client().flushall()
    return shared_redis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test, which may kill and restart it."""
    with running_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture(autouse=True)
def patient_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that wait for all results to be read, however busy the machine is."""
    for limit in ("_READ_SECONDS", "_SHORT_SECONDS"):
        monkeypatch.setattr(f"webapp.api.storage.lists.{limit}", 120.0)


class Caller:
    """Calls an API app as the page does."""

    def __init__(self, client: FlaskClient, token: str = TOKEN) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **more):
        """GET with the token."""
        return self.client.get(path, headers=self.headers, **more)

    def send(self, *files: tuple[bytes, str]):
        """POST files of (content, name)."""
        # Encoded here: the test client would leave temporary files of large bodies open.
        body, kind = encode_multipart_formdata([("file", (name, content)) for content, name in files])
        return self.client.post("/v1/predictions", data=body, content_type=kind, headers=self.headers)

    def sent(self, *files: tuple[bytes, str]) -> list[dict]:
        """POST files that must all get a prediction; returns the predictions."""
        answer = self.send(*files)
        assert answer.status_code == 201, answer.data
        return answer.get_json()["predictions"]


@pytest.fixture
def config(redis_server: RedisServer, tiny_bundle: Path) -> dict[str, str]:
    """The API's settings."""
    return api_environment(redis_server.port, tiny_bundle)


@pytest.fixture
def caller(config: dict[str, str]) -> Caller:
    """The API as the page calls it."""
    return Caller(api.create_app(config).test_client())


@pytest.fixture(scope="session")
def clear_picture() -> bytes:
    """PNG of a drawing in which the small model sees no pneumonia."""
    return phantom.png(101, 192, opacity=False)


@pytest.fixture(scope="session")
def opaque_picture() -> bytes:
    """PNG of a drawing in which the small model sees pneumonia."""
    return phantom.png(101, 192, opacity=True)
