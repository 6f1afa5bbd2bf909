"""The export writes every intact record, separates damaged ones, and appears on disk only when complete."""

import json
import os
import subprocess
import sys
import time

import pytest
import redis
from PIL import Image
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.webapp.conftest import Caller
from tests.webapp.servers import ROOT, RedisServer, redis_binary
from webapp import api
from webapp.api.export import export, main
from webapp.api.settings import StoreSettings
from webapp.api.store import Store, StoreUnavailable
from webapp.environment import Environment


@pytest.fixture
def store(config) -> Store:
    """The store behind the API."""
    return Store.open(StoreSettings.read(Environment(config)))


def run(config: dict[str, str], out, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    environment = {**os.environ, **config, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "webapp.api.export", str(out), *more]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600)


def lines(path) -> list[dict]:
    """The documents of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_everything_is_exported(caller, config, tmp_path, clear_picture, opaque_picture):
    documents = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"x", "c.png"))
    path = f"/v1/predictions/{documents[0]['id']}/feedback"
    caller.client.post(path, json={"label": "unsure"}, headers=caller.headers)
    ran = run(config, tmp_path / "out")
    assert (ran.returncode, ran.stderr) == (0, "")
    counts = json.loads(ran.stdout)
    assert counts.pop("out") == str(tmp_path / "out")
    assert counts == {
        "records": 3, "images": 2, "feedback": 1, "damaged": 0, "damaged_images": 0, "damaged_feedback": 0,
    }  # fmt: skip
    written = {line["id"]: line for line in lines(tmp_path / "out/results.jsonl")}
    for document in documents:
        line = written[document["id"]]
        image = line.pop("image")
        assert line == document
        assert [each["code"] for each in line["cautions"]] == ([] if document["refusal"] else ["training_ages_unknown"])
        assert (image is None) == (document["refusal"] is not None)
        if image:
            with Image.open(tmp_path / "out" / image) as exported:
                assert exported.size == (192, 192)
    assert lines(tmp_path / "out/feedback.jsonl")[0]["prediction"] == documents[0]["id"]
    assert not (tmp_path / "out/damaged").exists()


def test_damaged_records_are_counted_and_written_separately(caller, store, tmp_path, redis_server, clear_picture):
    hurt, faceless, whole = caller.sent(*((clear_picture, f"{number}.png") for number in range(3)))
    client = redis_server.client()
    key = f"pneumo:1:record:{hurt['id']}"
    client.set(key, client.get(key).replace(b"no pneumonia", b"pneumonia   "))
    client.set(f"pneumo:1:image:{faceless['id']}", b"another picture")
    client.set("pneumo:1:record:../../evil", b"not ours")
    counts = export(store, tmp_path / "out")
    assert (counts["records"], counts["damaged"], counts["images"], counts["damaged_images"]) == (2, 2, 1, 1)
    assert {line["id"]: line["image"] for line in lines(tmp_path / "out/results.jsonl")} == {
        faceless["id"]: None,
        whole["id"]: f"images/{whole['id']}.jpg",
    }
    assert (tmp_path / f"out/damaged/{hurt['id']}.bin").read_bytes() == client.get(key)
    assert len(list((tmp_path / "out/damaged").iterdir())) == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out"]


def test_a_record_without_index_entries_is_exported(caller, store, tmp_path, redis_server, clear_picture):
    caller.sent((clear_picture, "a.png"))
    for name in redis_server.client().keys("pneumo:1:index:*"):
        redis_server.client().delete(name)
    assert export(store, tmp_path / "out")["records"] == 1


def test_an_empty_store_is_exported(store, tmp_path, redis_server):
    assert export(store, tmp_path / "out")["records"] == 0
    assert (tmp_path / "out/results.jsonl").read_text() == ""


def test_nothing_is_overwritten_and_a_partial_export_is_replaced(caller, store, tmp_path, clear_picture):
    caller.sent((clear_picture, "a.png"))
    (tmp_path / "out.partial/images").mkdir(parents=True)
    (tmp_path / "out.partial/old").write_text("from a crash")
    export(store, tmp_path / "out")
    assert not (tmp_path / "out/old").exists()
    with pytest.raises(FileExistsError):
        export(store, tmp_path / "out")


def test_an_export_without_redis_fails(config, tmp_path):
    ran = run({**config, "REDIS_PORT": "1"}, tmp_path / "out", "--wait=0.3")
    assert ran.returncode == 1
    assert "StoreUnavailable" not in ran.stdout
    assert "export failed: ConnectionError" in ran.stderr
    assert not (tmp_path / "out").exists()


def loading(server: RedisServer) -> None:
    """Start Redis so that it loads its file for seconds, and wait until it reports that."""
    slow = ("--key-load-delay", "50")
    server.process = subprocess.Popen(
        [redis_binary(), str(server.directory / "redis.conf"), *slow], stdout=subprocess.DEVNULL
    )
    asking = server.client()
    asking.set_retry(Retry(NoBackoff(), 0))
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        try:
            asking.ping()
        except redis.BusyLoadingError:
            return
        except redis.ConnectionError:
            time.sleep(0.01)
    raise AssertionError("Redis never said that it was loading")


def test_the_export_waits_while_redis_loads(own_redis, config, tmp_path, clear_picture, capsys, monkeypatch):
    config = {**config, "REDIS_PORT": str(own_redis.port)}
    (document,) = Caller(api.create_app(config).test_client()).sent((clear_picture, "a.png"))
    with own_redis.client().pipeline(transaction=False) as pipe:
        for number in range(20_000):
            pipe.set(f"pneumo:1:filler:{number}", b"x")
        pipe.execute()
    own_redis.kill()
    loading(own_redis)
    for name, value in config.items():
        monkeypatch.setenv(name, value)
    assert main([str(tmp_path / "none"), "--wait=0"]) == 1
    assert capsys.readouterr().err == "export failed: BusyLoadingError\n"
    assert not (tmp_path / "none").exists()
    assert main([str(tmp_path / "out")]) == 0
    assert [line["id"] for line in lines(tmp_path / "out/results.jsonl")] == [document["id"]]


def test_a_rejected_login_fails_immediately(config, tmp_path):
    start = time.monotonic()
    ran = run({**config, "REDIS_PASSWORD": "not-the-password"}, tmp_path / "out")
    assert (ran.returncode, ran.stderr) == (1, "export failed: AuthenticationError\n")
    assert time.monotonic() - start < 30


def test_losing_redis_during_an_export_leaves_no_complete_export(caller, store, tmp_path, clear_picture, monkeypatch):
    caller.sent(*((clear_picture, f"{number}.png") for number in range(3)))
    asked, whole = [], store.feedback

    def once(identifier):
        if asked:
            raise StoreUnavailable("gone")
        asked.append(identifier)
        return whole(identifier)

    monkeypatch.setattr(store, "feedback", once)
    with pytest.raises(StoreUnavailable):
        export(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_setting_is_named(config, tmp_path, monkeypatch):
    monkeypatch.delenv("MAC_KEY", raising=False)
    ran = run({name: value for name, value in config.items() if name != "MAC_KEY"}, tmp_path / "out")
    assert ran.returncode == 1
    assert "MAC_KEY" in ran.stderr
