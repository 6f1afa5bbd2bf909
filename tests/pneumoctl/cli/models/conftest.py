"""A registry of one's own for each test."""

from pathlib import Path

import pytest

from model.bundling import known_picture


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(known_picture, "KNOWN_SIZE", 192)  # a calibrated bundle chooses its own from 16 drawings
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
