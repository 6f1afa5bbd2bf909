"""The export holds every intact result, separates damaged parts, and ends with its manifest only when complete."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from PIL import Image
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.webapp.api.records import PICTURE, put, record
from tests.webapp.conftest import Caller
from tests.webapp.servers import MAC_KEY, ROOT, RedisServer, redis_binary
from webapp import api
from webapp.api.export import DAMAGED, export, main
from webapp.api.settings import StoreSettings
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.seal import key_id
from webapp.api.storage.store_copy import StoreCopy
from webapp.environment import Environment


@pytest.fixture
def store(config) -> StoreCopy:
    """The store behind the API."""
    return StoreCopy.open(StoreSettings.read(Environment(config)))


def run(config: dict[str, str], *more: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as pneumoctl does."""
    environment = {**os.environ, **config, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "webapp.api.export", *more]
    return subprocess.run(argv, env=environment, capture_output=True, timeout=600)


def unpacked(content: bytes, folder: Path) -> dict:
    """Unpack an archive whose members all have the digests in its manifest; returns the manifest."""
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        packed.extractall(folder, filter="data")
        names = packed.getnames()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert names == [*manifest["files"], "manifest.json"]
    for name, (digest, size) in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, size)
    return manifest


def exported(store: StoreCopy, folder: Path) -> dict:
    """Export to a folder; returns the manifest."""
    out = io.BytesIO()
    export(store, out)
    return unpacked(out.getvalue(), folder)


def lines(path) -> list[dict]:
    """The documents of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_everything_is_exported(caller, config, tmp_path, clear_picture, opaque_picture):
    documents = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"x", "c.png"))
    path = f"/v1/predictions/{documents[0]['id']}/feedback"
    caller.client.post(path, json={"label": "unsure"}, headers=caller.headers)
    ran = run(config)
    assert (ran.returncode, ran.stderr) == (0, b"")
    manifest = unpacked(ran.stdout, tmp_path / "out")
    assert manifest["counts"] == {"results": 3, "pictures": 2, "reviews": 1, "damaged": 0}
    assert manifest["keys"] == {key_id(bytes.fromhex(MAC_KEY)): 3} and MAC_KEY.encode() not in ran.stdout
    counted = json.loads(run(config, "--count").stdout)
    assert counted.pop("bytes") > 0 and counted.pop("trail") == manifest["trail"][""]["hash"]
    parts = {"results": 3, "pictures": 2, "reviews": 1}
    assert counted == {**parts, "received": 0, "contents": manifest["contents"]}
    written = {line["id"]: line for line in lines(tmp_path / "out/results.jsonl")}
    for document in documents:
        line = written[document["id"]]
        image, source = line.pop("image"), line.pop("source")
        assert (source["folder"], source["study"], len(source["sha256"])) == ("", None, 64)
        assert line == document
        assert [each["code"] for each in line["cautions"]] == ([] if document["refusal"] else ["training_ages_unknown"])
        assert (image is None) == (document["refusal"] is not None)
        if image:
            with Image.open(tmp_path / "out" / image) as exported:
                assert exported.size == (192, 192)
    assert lines(tmp_path / "out/feedback.jsonl")[0]["prediction"] == documents[0]["id"]
    assert not (tmp_path / "out/damaged").exists()


def test_damaged_parts_are_counted_and_written_separately(caller, store, config, tmp_path, redis_server, clear_picture):
    hurt, faceless, whole = caller.sent(*((clear_picture, f"{number}.png") for number in range(3)))
    for identifier in (hurt["id"], whole["id"]):
        path = f"/v1/predictions/{identifier}/feedback"
        caller.client.post(path, json={"label": "unsure"}, headers=caller.headers)
    client = redis_server.client()
    key = f"pneumo:1:record:{hurt['id']}"
    client.set(key, client.get(key).replace(b"no pneumonia", b"pneumonia   "))
    client.set(f"pneumo:1:image:{faceless['id']}", b"another picture")
    client.set("pneumo:1:record:../../evil", b"not ours")
    client.rpush(f"pneumo:1:feedback:{whole['id']}", b"not sealed")
    manifest = exported(store, tmp_path / "out")
    assert manifest["counts"] == {"results": 2, "pictures": 1, "reviews": 2, "damaged": 5}
    assert {line["id"]: line["image"] for line in lines(tmp_path / "out/results.jsonl")} == {
        faceless["id"]: None,
        whole["id"]: f"images/{whole['id']}.jpg",
    }
    assert {line["prediction"] for line in lines(tmp_path / "out/feedback.jsonl")} == {hurt["id"], whole["id"]}
    assert {line["id"] for line in lines(tmp_path / "out/sealed.jsonl")} == {faceless["id"], whole["id"]}
    assert {file.name: file.read_bytes() for file in (tmp_path / "out/damaged").iterdir()} == {
        f"{hurt['id']}.record.bin": client.get(key),
        f"{hurt['id']}.picture.bin": client.get(f"pneumo:1:image:{hurt['id']}"),
        f"{faceless['id']}.picture.bin": b"another picture",
        f"{whole['id']}.review-1.bin": b"not sealed",
        f"{b'../../evil'.hex()}.record.bin": b"not ours",
    }
    assert run(config).returncode == DAMAGED


def test_a_result_without_index_entries_is_exported_and_a_probe_is_not(store, tmp_path, redis_server):
    put(store, record(1), record(2))
    for name in redis_server.client().keys("pneumo:1:index:*"):
        redis_server.client().delete(name)
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    probe = record(3)
    store.put(replace(probe, prediction={**probe.prediction, "created": now}), PICTURE, listed=False)
    manifest = exported(store, tmp_path / "out")
    assert manifest["counts"] == {"results": 2, "pictures": 2, "reviews": 0, "damaged": 0}
    assert {line["file"] for line in lines(tmp_path / "out/results.jsonl")} == {"1.png", "2.png"}
    held = store.summary()
    assert held.pop("bytes") > len(PICTURE)
    assert held == {"results": 2, "pictures": 2, "reviews": 0, "contents": manifest["contents"], "trail": ""}


def test_the_manifest_names_the_key_of_each_record_and_of_each_review(store, config, tmp_path, redis_server):
    """A result from before a rotation and one without an intact record, reviewed after it."""
    put(store, record(1), record(2))
    new = "6b" * 32
    rotated = StoreCopy.open(StoreSettings.read(Environment(config | {"MAC_KEY": new, "MAC_KEYS_PREVIOUS": MAC_KEY})))
    for number in (1, 2):
        review = {"prediction": record(number).id, "label": "unsure", "comment": "", "created": "2026-01-02T00:00:00Z"}
        rotated.reviews.add(record(number).id, review)
    redis_server.client().set(f"pneumo:1:record:{record(2).id}", b"damaged")
    manifest = exported(rotated, tmp_path / "out")
    assert manifest["keys"] == {key_id(bytes.fromhex(MAC_KEY)): 1, key_id(bytes.fromhex(new)): 1}


def test_an_empty_store_is_exported(store, tmp_path, redis_server):
    assert exported(store, tmp_path / "out")["counts"]["results"] == 0
    assert (tmp_path / "out/results.jsonl").read_text() == ""


def test_an_export_without_redis_fails(config):
    ran = run({**config, "REDIS_PORT": "1"}, "--wait=0.3")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"export failed: Redis cannot be reached" in ran.stderr


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
    assert main(["--wait=0", "--count"]) == 1
    assert capsys.readouterr().err == "export failed: Redis is still loading its data\n"
    ran = run(config)
    assert ran.returncode == 0
    unpacked(ran.stdout, tmp_path / "out")
    assert [line["id"] for line in lines(tmp_path / "out/results.jsonl")] == [document["id"]]


def test_a_rejected_login_fails_immediately(config):
    start = time.monotonic()
    ran = run({**config, "REDIS_PASSWORD": "not-the-password"})
    assert (ran.returncode, ran.stderr) == (1, b"export failed: Redis rejects the login\n")
    assert time.monotonic() - start < 30


def test_losing_redis_during_an_export_leaves_an_archive_without_its_end(caller, store, clear_picture, monkeypatch):
    caller.sent(*((clear_picture, f"{number}.png") for number in range(3)))
    asked, whole = [], store.item

    def once(identifier):
        if asked:
            raise StoreUnavailable("gone")
        asked.append(identifier)
        return whole(identifier)

    monkeypatch.setattr(store, "item", once)
    out = io.BytesIO()
    with pytest.raises(StoreUnavailable):
        export(store, out)
    assert b"manifest.json" not in out.getvalue()


def test_a_missing_setting_is_named(config, monkeypatch):
    monkeypatch.delenv("MAC_KEY", raising=False)
    ran = run({name: value for name, value in config.items() if name != "MAC_KEY"})
    assert ran.returncode == 1
    assert b"MAC_KEY" in ran.stderr
