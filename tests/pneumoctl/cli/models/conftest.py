"""A registry of one's own, and labelled drawings that the tiny bundle classifies correctly."""

from pathlib import Path

import pytest

from model import phantom
from model.bundling import known_picture


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(known_picture, "KNOWN_SIZE", 192)  # a calibrated bundle chooses its own from 16 drawings
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Eight drawings of each class."""
    root = tmp_path / "labelled"
    for seed in range(100, 108):
        for name, opacity in (("NORMAL", False), ("PNEUMONIA", True)):
            (root / name).mkdir(parents=True, exist_ok=True)
            phantom.draw(seed, 192, opacity).save(root / name / f"person{seed}.png")
    return root
