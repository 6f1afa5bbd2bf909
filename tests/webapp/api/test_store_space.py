"""A store says that it is nearly full while it still takes uploads, and why it takes none when it is full."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webapp.api.answers import problem
from tests.webapp.conftest import Caller
from tests.webapp.servers import RedisServer, api_environment
from webapp import api
from webapp.api.storage.usage import Usage

MB = 2**20


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis whose limit a test changes."""
    monkeypatch.setattr("webapp.api.health._STORE_SECONDS", 0.0)
    monkeypatch.setattr("webapp.api.health._FAULT_SECONDS", 0.0)
    server = RedisServer(tmp_path / "redis", memory_mb=64)
    server.start()
    client = server.client()
    for _ in range(48):  # in parts, because Redis counts what it has just received, too
        client.append("fill", b"x" * MB)
    yield server
    server.kill()


def limit(server: RedisServer, percent: int) -> None:
    """Set the limit so that this share of it is in use."""
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] * 100 // percent)


def ready(caller: Caller, status: int) -> dict:
    """The check of the store."""
    answer = caller.client.get("/readyz")
    assert answer.status_code == status, answer.data
    return answer.get_json()["checks"]["store"]


def test_it_warns_before_it_is_full_and_gives_the_reason_when_it_is(redis, tiny_bundle, clear_picture, opaque_picture):
    caller = Caller(api.create_app(api_environment(redis.port, tiny_bundle)).test_client())
    limit(redis, 75)
    assert ready(caller, 200)["warning"] is None
    limit(redis, 83)
    row = ready(caller, 200)
    assert row["ok"] and re.match(r"the store is 8[23] % full \(", row["warning"])
    (stored,) = caller.sent((clear_picture, "a.png"))
    text = caller.client.get("/metrics").get_data(as_text=True)
    (used,) = (float(line.split()[1]) for line in text.splitlines() if line.startswith("pneumo_store_used_bytes "))
    (most,) = (float(line.split()[1]) for line in text.splitlines() if line.startswith("pneumo_store_max_bytes "))
    assert 0.8 < used / most < 0.9
    limit(redis, 120)
    row = ready(caller, 503)
    assert row["lasting"]
    assert row["fault"].startswith("the store is ") and "full (" in row["fault"] and row["warning"]
    refused = problem(caller.send((opaque_picture, "b.png")), 507, "store-full")
    assert "The store is full" in refused["detail"] and "retention_days" in refused["detail"]
    path = f"/v1/predictions/{stored['id']}"
    assert caller.get(path).get_json() == stored
    assert caller.get("/v1/predictions").get_json()["total"] == 1
    assert caller.get(f"{path}/heatmap.png").status_code == 200  # it is not cached
    assert caller.get(f"{path}/image.png").status_code == caller.get(f"{path}/feedback").status_code == 200
    assert caller.get(f"{path}/pictures").get_json()["picture"]["available"]
    assert caller.sent((clear_picture, "a.png")) == [stored]  # sent again
    review = caller.client.post(f"{path}/feedback", json={"label": "unsure"}, headers=caller.headers)
    problem(review, 507, "store-full")
    assert caller.client.delete(path, headers=caller.headers).status_code == 204
    redis.client().delete("fill")
    assert ready(caller, 200) == {"ok": True, "fault": None, "lasting": False, "warning": None}
    assert caller.sent((opaque_picture, "b.png"))


def test_a_full_store_in_which_results_expire_may_get_room_by_itself(redis, tiny_bundle):
    settings = api_environment(redis.port, tiny_bundle) | {"RETENTION_DAYS": "30", "ERASE_EXPIRED": "no"}
    limit(redis, 120)
    row = ready(Caller(api.create_app(settings).test_client()), 503)
    assert "full (" in row["fault"] and not row["lasting"]


def test_without_redis_there_are_no_figures(config):
    caller = Caller(api.create_app({**config, "REDIS_PORT": 1}).test_client())
    assert ready(caller, 503)["warning"] is None
    assert "pneumo_store_used_bytes " not in caller.client.get("/metrics").get_data(as_text=True)


@pytest.mark.parametrize(
    ("used", "maximum", "full", "warns"),
    [
        (799, 1000, False, False),
        (800, 1000, False, True),
        (995, 1000, False, True),
        (997, 1000, True, True),
        (1001, 1000, True, True),
        (13, 16, True, True),
        (10**6, 0, False, False),
    ],
)
def test_when_it_warns_and_when_it_is_full(used, maximum, full, warns):
    usage = Usage(used * MB, maximum * MB)
    assert (usage.full, usage.warning is not None) == (full, warns)
