"""Fixtures: a separate stack for each test, with its own state directory and ports. It is always ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model import phantom
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.local import processes, status
from pneumoctl.terminal.console import console


@pytest.fixture(autouse=True)
def _plain_console() -> None:
    """Reset the shared console, which an earlier test may have configured."""
    console.configure(())
    console.rewrite = str


@dataclass(frozen=True)
class Operator:
    """Runs pneumoctl as a user would: as a process with a separate environment."""

    state: Path
    data: Path
    environment: dict[str, str]

    @property
    def directory(self) -> Path:
        return self.state / "pneumoctl" / self.environment["PNEUMO_STACK"]

    @property
    def stack(self) -> Stack:
        return Stack(self.environment["PNEUMO_STACK"], self.directory)

    @property
    def url(self) -> str:
        """The address of the web page."""
        inventory = self.stack.inventory()
        assert inventory is not None
        return inventory.url("ui")

    def status_document(self) -> dict[str, Any]:
        """What `status` shows, without a process of its own."""
        return status.gather_status(self.stack)

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

    def run(self, *words: str, code: int | None = 0, timeout: float = 600) -> "subprocess.CompletedProcess[str]":
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


@contextmanager
def operating(state: Path, bundle: Path, offset: int = 0) -> Iterator[Operator]:
    """An operator without a stack. Two at the same time need different offsets, from 0 to 2."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PNEUMO_")}
    base = 10000 + os.getpid() % 2000 * 10 + offset  # below the ephemeral ports
    environment |= {
        "XDG_STATE_HOME": str(state),
        "XDG_DATA_HOME": str(state / "share"),
        "PNEUMO_STACK": "t",
        "PNEUMO_MODEL": str(bundle),
        "PNEUMO_WORKERS": "1",
        "PNEUMO_PAGE_TIMEOUT_S": "60",  # this machine may be busy
        "PNEUMO_REDIS_PORT": str(base),
        "PNEUMO_API_PORT": str(base + 3),
        "PNEUMO_UI_PORT": str(base + 6),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    started = Operator(state, state / "share", environment)
    yield started
    processes.end(started.directory)
    assert processes.ours(started.directory) == []


@pytest.fixture
def operator(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Operator]:
    with operating(tmp_path_factory.mktemp("s"), tiny_bundle) as started:
        yield started


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Eight drawings of each class, which the tiny bundle classifies correctly."""
    root = tmp_path / "labelled"
    for seed in range(100, 108):
        for name, opacity in (("NORMAL", False), ("PNEUMONIA", True)):
            (root / name).mkdir(parents=True, exist_ok=True)
            phantom.draw(seed, 192, opacity).save(root / name / f"person{seed}.png")
    return root
