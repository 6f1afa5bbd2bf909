"""The users of Redis on hosts: each can do its real work and has no further permission."""

import hashlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import redis
import urllib3
from redis.backoff import NoBackoff
from redis.retry import Retry

from pneumoctl.plan.render import render
from tests.templates.programs import own_network, program
from tests.templates.running import arguments, environment, running
from tests.webapp.api.records import record
from tests.webapp.servers import MAC_KEY, PASSWORD, RedisServer, free_port
from webapp.api.settings import StoreSettings
from webapp.api.storage.film_queue import FilmQueue
from webapp.api.storage.keys import trail_of
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.rewriting import rewrite
from webapp.api.storage.trail import Act

USERS = ("api", "exporter", "rewriter")
FORBIDDEN = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET *",
    "CONFIG SET maxmemory 1",
    "KEYS *",
    "EVAL return(1) 0",
    "FUNCTION LIST",
    "LATENCY RESET",
    "SHUTDOWN NOSAVE",
    "ACL LIST",
    "ACL SETUSER default on",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "REPLICAOF 192.0.2.1 6379",
    "SUBSCRIBE pneumo",
    "PUBLISH pneumo x",
    "MIGRATE 192.0.2.1 6379 pneumo:1:record:x 0 1000",
    "GET another",
    "SET another x",
    "DEL another",
    "UNLINK pneumo:1:record:x",
    "RENAME pneumo:1:record:x pneumo:1:record:y",
    "DEL pneumo:trail",
    "SET pneumo:trail x",
    "HSET pneumo:trail 1 x",
    "HDEL pneumo:trail 1",
    "DEL pneumo:trail:0123",
    "SWAPDB 0 1",
    "MODULE LIST",
]
# What an exporter newer than that of the hosts (Debian 12) asks besides; refused, it gives the other figures.
NEWER = {"latency|histogram"}


def password(user: str) -> str:
    return f"{PASSWORD}-of-{user}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def granted(user: str) -> set[str]:
    """The commands that a user's line allows."""
    text = render("redis/users.acl", users={user: ("0" * 64,)})
    (line,) = [line for line in text.splitlines() if line.startswith(f"user {user} ")]
    return set(re.findall(r"\+([^\s)]+)", line))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with the three users of a stack, each with its own password, and one with all permissions."""
    program("redis-server")  # not the older one of a wheel
    made = RedisServer(tmp_path / "redis")
    users = render("redis/users.acl", users={user: (digest(password(user)),) for user in USERS})
    (tmp_path / "redis/users.acl").write_text(f"{users}user tests on >{PASSWORD} ~* &* +@all\n")
    made.start()
    made.client().config_resetstat()
    yield made
    made.kill()


def client(server: RedisServer, **who: str) -> redis.Redis:
    """A client without retries and with a short timeout."""
    return redis.Redis("127.0.0.1", server.port, retry=Retry(NoBackoff(), 0), socket_timeout=60, **who)


def store(server: RedisServer, user: str) -> ListedStore:
    """The store as that user sees it."""
    return ListedStore.open(StoreSettings("127.0.0.1", server.port, "", user, password(user), bytes.fromhex(MAC_KEY)))


def used(server: RedisServer) -> set[str]:
    """Every executed command, without those of the tests themselves and of newer exporters."""
    stats = server.client().info("commandstats")
    ours = {"hello", "auth", "config|resetstat", "client|setinfo"}
    return {name.removeprefix("cmdstat_") for name in stats} - ours - NEWER


def refused(server: RedisServer) -> list[dict]:
    """The rejected commands in Redis's ACL log, without those of newer exporters."""
    return [entry for entry in server.client().acl_log() if entry["object"] not in NEWER]


def test_the_api_can_do_all_its_work_and_has_no_right_beyond_it(server: RedisServer) -> None:
    api_store = store(server, "api")
    api_store.wait(60)
    api_store.probe()
    stored = record(1)
    assert api_store.put(stored, None) == api_store.put(stored, None) == api_store.get(stored.id) == stored
    assert [each.id for each in api_store.lists.page("time", "all", None, 20).records] == [stored.id]
    api_store.cache_heatmap(stored.id, b"picture")
    assert api_store.heatmap(stored.id) == b"picture"
    api_store.reviews.add(stored.id, {"label": "unsure"})
    assert [each["label"] for each in api_store.reviews.of(stored.id)[0]] == ["unsure"]
    assert list(api_store.ids()) == [stored.id]
    assert api_store.lists.place(stored, "time", "all").number == 1
    viewed = Act("view", "alice", "user", "reader", "none", stored.id)
    api_store.trail.append(viewed)
    assert store(server, "api").trail.head() == api_store.trail.head()
    assert [each["entry"]["act"] for each in api_store.trail.page(0, 9)] == ["view"] and api_store.trail.chains() == []
    api_store.trail.add_imported([(trail_of("a" * 32), 2, b"x")])  # its first entry is missing
    assert [api_store.trail.head("a" * 32).n for _ in range(2)] == [2, 2]
    assert api_store.eraser.erase(stored.id, replace(viewed, act="erase")) == "erased"
    assert api_store.eraser.erase(record(2).id) == "unknown"
    assert 0 <= api_store.eraser.redis_time() < time.time() + 60
    _queue(api_store.queue)
    assert (used(server), refused(server)) == (granted("api"), [])


def _queue(queue: FilmQueue) -> None:
    """All that is done with received films."""
    identifier = queue.put(b"film", "a")
    for change in (queue.retry, queue.discard):
        claim = queue.claim(60, 0.01)
        queue.release(claim, 60, 60)
        assert queue.film(claim).content == b"film"
        queue.fail(claim, "code", "reason")
        assert [each.id for each in queue.failed()] == [identifier]
        change(identifier)
    assert queue.state().waiting == 0


def test_the_exporter_gives_its_figures_and_has_no_right_beyond_it(server: RedisServer) -> None:
    store(server, "api").put(record(2), None)
    server.client().config_resetstat()
    port, name = free_port(), "prometheus-redis-exporter"
    values = {"address": "127.0.0.1", "port": server.port, "user": "exporter", "password": password("exporter")}
    words = [word.replace(":9121", f"127.0.0.1:{port}") for word in arguments(name, **values)]
    url = f"http://127.0.0.1:{port}/metrics"
    with running(name, words, url, {**os.environ, **environment(name, **values)}) as process:
        text = urllib3.request("GET", url, retries=False, timeout=60).data.decode()
        assert password("exporter") not in Path(f"/proc/{process.pid}/cmdline").read_text()
    wanted = ("redis_up 1", "redis_memory_max_bytes 6.7108864e+07", "redis_aof_last_write_status 1", "redis_db_keys{")
    assert [line for line in wanted if line not in text] == []
    assert (used(server) - {"config|resetstat"}, refused(server)) == (granted("exporter"), [])


def test_the_rewriter_can_have_the_file_written_anew_and_has_no_right_beyond_it(server: RedisServer) -> None:
    settings = StoreSettings("127.0.0.1", server.port, "", "api", password("api"), bytes.fromhex(MAC_KEY))
    rewrite(settings, password("rewriter"), 60)
    assert server.client().info("persistence")["aof_rewrites"] == 1
    assert (used(server) - {"info"} | {"info"}, refused(server)) == (granted("rewriter"), [])


@pytest.mark.parametrize("user", USERS)
def test_nobody_may_do_what_is_not_their_work(server: RedisServer, user: str) -> None:
    asking = client(server, username=user, password=password(user))
    allowed = []
    for command in (*FORBIDDEN, *([] if user == "rewriter" else ["BGREWRITEAOF"])):
        try:
            asking.execute_command(*command.split())
            allowed.append(command)
        except redis.exceptions.NoPermissionError:
            continue
    assert allowed == []


def test_the_default_user_is_off_and_keeps_its_rights(server: RedisServer) -> None:
    for stranger in (client(server), client(server, password=""), client(server, username="default", password="")):
        with pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
    # Redis replays its file as this user: without rights a restart would drop every stored result.
    line = next(line for line in server.client().acl_list() if line.startswith("user default"))
    assert "off" in line and "nopass" not in line and line.endswith("~* &* +@all")


def test_while_a_password_is_replaced_both_let_in(server: RedisServer) -> None:
    def may_enter(password: str) -> bool:
        with suppress(redis.exceptions.AuthenticationError):
            return bool(client(server, username="api", password=password).ping())
        return False

    outcomes = []
    for passwords in (("old",), ("new", "old"), ("new",)):
        text = render("redis/users.acl", users={"api": tuple(map(digest, passwords))})
        (server.directory / "users.acl").write_text(f"{text}user tests on >{PASSWORD} ~* &* +@all\n")
        server.client().acl_load()
        outcomes.append((may_enter("old"), may_enter("new")))
    assert outcomes == [(True, False), (True, True), (False, True)]


def test_a_user_without_a_password_does_not_exist() -> None:
    text = render("redis/users.acl", users={"api": (digest("x"),), "exporter": ()})
    assert [line.split()[1] for line in text.splitlines()] == ["default", "api"]


def test_starts_as_debians_unit_starts_it(tmp_path: Path) -> None:
    """On the loopback and the private address, for others too, and telling systemd when it is there."""
    (tmp_path / "users.acl").write_text(render("redis/users.acl", users={"api": (digest("secret"),)}))
    values = {"address": "127.0.0.1 10.9.8.7", "port": 6379, "socket": None, "data": tmp_path, "memory_mb": 64}
    (tmp_path / "redis.conf").write_text(render("redis/redis.conf", aclfile=tmp_path / "users.acl", **values))
    with own_network(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        subprocess.run([program("ip"), "address", "add", "10.9.8.7/32", "dev", "lo"], check=True)
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        argv = [program("redis-server"), tmp_path / "redis.conf", "--supervised", "systemd", "--daemonize", "no"]
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                message = ""
                while "READY=1" not in message:
                    message += systemd.recv(4096).decode()
                # From an address that is not of the loopback: protected mode keeps such clients of an open Redis out.
                assert redis.Redis("10.9.8.7", username="api", password="secret").ping()
                assert redis.Redis("127.0.0.1", username="api", password="secret").ping()
            finally:
                process.terminate()
                log = process.communicate(timeout=30)[0]
    assert "Ready to accept connections" in log  # where the journal takes it from
    assert not re.search("(?i)secret|unrecognized|invalid|failed", log)
