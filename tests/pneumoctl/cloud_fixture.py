"""The fixture `cloud`: one process of the lab's API for all tests of a session. Add this module to `pytest_plugins`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.aws import api
from tests.pneumoctl.cloud import Cloud


@pytest.fixture(scope="session")
def cloud_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    pytest.importorskip("moto")
    state = tmp_path_factory.mktemp("cloud")
    words = [sys.executable, "-m", "tests.lab.api", "--port", "0", "--state", str(state)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http"), "the lab's API did not start"
        yield Cloud(url, state)
        process.terminate()


@pytest.fixture
def cloud(cloud_process: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """The API without faults. The environment variables point all AWS clients to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for limit in ("READ_S", "CHANGE_S"):
        monkeypatch.setattr(api, limit, 60)  # on a busy machine, the process may not run for seconds
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud_process.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    since = cloud_process.last()
    yield cloud_process
    cloud_process.ask("DELETE", "faults")
    if cloud_process.ask("GET", f"calls?since={since}")["mutating"]:
        cloud_process.clear()
