"""A stack with a real store, reached as on this machine."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Stack, home
from pneumoctl.targets.local.results import LocalStore
from tests.webapp.api.records import settings
from tests.webapp.servers import MAC_KEY, PASSWORD, RedisServer, running_redis
from webapp.api.storage.store_copy import StoreCopy

OTHER_KEY = "a5" * 32


class StackWithStore:
    """A stack's directory with its secrets, and its store."""

    def __init__(self, name: str, server: RedisServer, folder: Path, key: str) -> None:
        self.stack = Stack(name, home() / name)
        self.stack.make()
        self.stack.write(
            "secrets.json", asdict(Secrets(PASSWORD, key, "a-token-of-tests-only", redis_rewriter_password=PASSWORD))
        )
        environment = folder / f"{name}.env"
        values = {"REDIS_PORT": server.port, "REDIS_USERNAME": "api", "REDIS_PASSWORD": PASSWORD, "MAC_KEY": key}
        environment.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        self.reached = LocalStore(environment)
        self.store = StoreCopy.open(replace(settings(server.port), mac_key=bytes.fromhex(key)))
        self.kept = self.stack.directory.with_name(f"{name}.mac-keys.json")

    def kept_keys(self) -> dict[str, str]:
        """The keys beside the stack's directory."""
        keys: dict[str, str] = json.loads(self.kept.read_text())["keys"]
        return keys


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """An empty Redis."""
    with running_redis(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def stack_of(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StackWithStore]:
    """Make a stack by its name and key; all have the same Redis."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return lambda name="t", key=MAC_KEY: StackWithStore(name, server, tmp_path, key)
