"""`python -m webapp.check` passes a release that works, and names the fault of one that does not."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from model import bundle
from tests.webapp.servers import (
    PASSWORD,
    ROOT,
    TOKEN,
    Gunicorn,
    RedisServer,
    api_environment,
    free_port,
    ui_environment,
)
from webapp.check import check_api


def check(app: str, environment: Mapping[str, str]) -> tuple[int, dict, str]:
    """Exit code, the document, the last line of stderr."""
    mine = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    argv = [sys.executable, "-P", "-m", "webapp.check", app]
    ran = subprocess.run(argv, env=mine, cwd="/", capture_output=True, text=True, timeout=600)
    (line,) = ran.stdout.splitlines()
    return ran.returncode, json.loads(line), (ran.stderr.splitlines() or [""])[-1]


@pytest.fixture
def environment(redis_server: RedisServer, tiny_bundle: Path) -> dict[str, str]:
    """The API's environment as on a host; the check must not use the metrics folder of the servers."""
    return api_environment(redis_server.port, tiny_bundle) | {"PROMETHEUS_MULTIPROC_DIR": "/nowhere/metrics"}


def test_a_working_api_passes_and_lists_nothing(environment, redis_server, tiny_bundle):
    code, document, _ = check("api", environment)
    known_picture = bundle.load(tiny_bundle).manifest["known_picture"]
    assert (code, document["ok"]) == (0, True)
    assert document["probability"] == pytest.approx(known_picture["probability"], abs=known_picture["tolerance"])
    keys = redis_server.client().keys("*")
    assert keys and not [key for key in keys if b":index:" in key]
    assert all(redis_server.client().ttl(key) > 0 for key in keys)


def test_the_check_erases_nothing(environment, monkeypatch):
    """Not even if it takes long: there is no thread that could."""
    for name, value in {**environment, "RETENTION_DAYS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    started, before = [], set(threading.enumerate())  # those of other tests may be about to end
    monkeypatch.setattr("webapp.api.expiry.start", started.append)
    assert check_api()["probability"]
    assert started == [] and "expiry" not in [thread.name for thread in set(threading.enumerate()) - before]


def test_a_changed_score_of_the_known_picture_fails(environment, tiny_bundle, tmp_path):
    moved = tmp_path / "bundle"
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    manifest["known_picture"]["probability"] -= 0.05
    moved.mkdir()
    for name in manifest["files"]:
        (moved / name).parent.mkdir(parents=True, exist_ok=True)
        (moved / name).write_bytes((tiny_bundle / name).read_bytes())
    bundle.write(moved, {key: value for key, value in manifest.items() if key not in ("schema", "version", "files")})
    code, document, last = check("api", environment | {"MODEL_BUNDLE": str(moved)})
    assert (code, document["ok"]) == (1, False)
    assert "known picture" in last and document["reason"] == last


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"MODEL_BUNDLE": "/nowhere"}, "is not a model bundle"),
        ({"MAC_KEY": ""}, "MAC_KEY is not set"),
        ({"REDIS_PASSWORD": "wrong"}, "/readyz answered 503"),
        pytest.param({"REDIS_PORT": "1"}, "/readyz answered 503", marks=pytest.mark.repeat),
    ],
)
def test_an_api_with_bad_settings_fails(environment, change, reason):
    code, document, last = check("api", environment | change)
    assert (code, document["ok"]) == (1, False)
    assert reason in last
    assert PASSWORD not in last and TOKEN not in last


@pytest.fixture
def served(environment, tmp_path) -> Iterator[Gunicorn]:
    """An API for the page."""
    server = Gunicorn("webapp.api", tmp_path, environment | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    server.start()
    yield server
    server.stop()


def test_a_page_passes_under_its_host_names_and_fails_with_a_wrong_token(served):
    environment = ui_environment(served.url) | {"TRUSTED_HOSTS": ".example.org,192.0.2.1"}
    assert check("ui", environment)[:2] == (0, {"check": "ui", "ok": True})
    code, _, last = check("ui", ui_environment(served.url) | {"API_TOKEN": "another-token-of-tests"})
    assert (code, "/ answered 502" in last) == (1, True)


@pytest.mark.parametrize(
    ("of_api", "of_page", "code"), [("users", "users", 0), ("none", "users", 1), ("users", "none", 1)]
)
def test_a_page_with_users_passes_if_its_token_is_accepted(environment, tmp_path, of_api, of_page, code):
    page_token = "the-token-of-the-page"
    more = {"AUTH": of_api, "PAGE_TOKEN": page_token, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    api = Gunicorn("webapp.api", tmp_path, environment | more)
    api.start()
    try:
        of_ui = ui_environment(api.url) | {"AUTH": of_page, "API_TOKEN": page_token}
        found, _, last = check("ui", of_ui)
        assert found == code, last
        assert check("ui", of_ui | {"API_TOKEN": "another-token-of-tests"})[0] == 1
    finally:
        api.stop()


def test_a_page_without_an_api_fails():
    code, _, last = check("ui", ui_environment(f"http://127.0.0.1:{free_port()}"))
    assert (code, "/readyz answered 503" in last) == (1, True)


def test_a_missing_argument_is_a_usage_error():
    ran = subprocess.run([sys.executable, "-m", "webapp.check"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 2 and "api|ui" in ran.stderr
