"""Fixtures: a separate stack for each test, with its own state directory and ports. It is always ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.targets.local import processes
from pneumoctl.terminal.console import console


@pytest.fixture(autouse=True)
def _plain_console() -> None:
    """Reset the shared console, which an earlier test may have configured."""
    console.configure(())


@dataclass(frozen=True)
class Operator:
    """Runs pneumoctl as a user would: as a process with a separate environment."""

    state: Path
    data: Path
    environment: dict[str, str]

    @property
    def directory(self) -> Path:
        return self.state / "pneumoctl" / "t"

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pneumoctl", *words],
            env=self.environment,
            cwd=self.state,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int | None = 0, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        child = self.start(*words)
        try:
            out, err = child.communicate(timeout=timeout)
        finally:
            child.kill()
        done = subprocess.CompletedProcess(words, child.returncode, out, err)
        assert code is None or done.returncode == code, f"pneumoctl {words}: {done.returncode}\n{out}\n{err}"
        return done

    def json(self, *words: str, code: int | None = 0) -> dict[str, Any]:
        document = json.loads(self.run(*words, "--json", code=code).stdout)
        assert isinstance(document, dict)
        return document


@pytest.fixture
def operator(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Operator]:
    state = tmp_path_factory.mktemp("s")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PNEUMO_")}
    base = 10000 + os.getpid() % 2000 * 10  # below the ephemeral ports
    environment |= {
        "XDG_STATE_HOME": str(state),
        "XDG_DATA_HOME": str(state / "share"),
        "PNEUMO_STACK": "t",
        "PNEUMO_MODEL": str(tiny_bundle),
        "PNEUMO_WORKERS": "1",
        "PNEUMO_REDIS_PORT": str(base),
        "PNEUMO_API_PORT": str(base + 3),
        "PNEUMO_UI_PORT": str(base + 6),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    started = Operator(state, state / "share", environment)
    yield started
    processes.end(started.directory)
    assert processes.ours(started.directory) == []
