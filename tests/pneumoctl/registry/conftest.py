"""A registry of the test's own, and models to register in it."""

from pathlib import Path
from typing import Any

import pytest

from pneumoctl.registry import store
from pneumoctl.registry.store import Registered
from tests.pneumoctl.models import made


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PNEUMO_STACK", "t")
    monkeypatch.delenv("PNEUMO_MODEL", raising=False)
    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def register_model(tiny_bundle: Path, tmp_path: Path) -> Any:
    """Registers a model that found so many of 390 cases."""

    def register(positives: int | None, **more: Any) -> Registered:
        return store.register(made(tiny_bundle, tmp_path / "bundle", positives, **more))

    return register
