"""A running stack that the tests of a module share, begun in a hostile environment."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pneumoctl.conftest import Operator, operating
from tests.pneumoctl.targets.local.running_stack.hostile_settings import HOSTILE, ODD

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
