"""The running API answers as its OpenAPI document says, also to what a program makes up: Schemathesis."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webapp.servers import ROOT, TOKEN, Gunicorn, api_environment, running_redis

CONFIG = Path(__file__).with_name("schemathesis.toml")
TINY, WHOLE = 2, 40  # cases of an operation in each of the phases that make them up

PHASES = {"examples": "skip", "coverage": "success", "fuzzing": "success", "stateful": "success"}  # it has no examples


@pytest.fixture
def served(tmp_path: Path, tiny_bundle: Path) -> Iterator[Gunicorn]:
    """The API with users, and a store with room for all that is sent."""
    with running_redis(tmp_path / "redis", memory_mb=512) as redis:
        server = Gunicorn("webapp.api", tmp_path, {**api_environment(redis.port, tiny_bundle), "AUTH": "users"})
        server.start()
        yield server
        server.stop()


@pytest.mark.parametrize(
    ("cases", "at_least"), [(TINY, 1000), pytest.param(WHOLE, 2000, marks=pytest.mark.repeat)], ids=["tiny", "whole"]
)
def test_no_answer_contradicts_the_document(served: Gunicorn, tmp_path: Path, cases: int, at_least: int):
    report = tmp_path / "report.json"
    argv = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    options = [f"--max-examples={cases}", "--no-color", "--report-json-path", str(report)]
    environment = {**os.environ, "API_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*argv, *options, f"{served.url}/v1/openapi.json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(report.read_text())
    assert found["operations"]["tested"] == found["operations"]["total"]
    assert (found["failures"], found["errors"]) == ([], [])
    assert found["test_cases"]["generated"] >= at_least
    assert {name: phase["status"] for name, phase in found["phases"].items()} == PHASES
    assert "Traceback" not in served.log.read_text()
