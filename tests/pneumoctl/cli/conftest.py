"""A stack, a folder of pictures, and `pneumoctl predict` with the small bundle."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model import phantom
from pneumoctl.cli.main import run
from pneumoctl.stack.stack import Stack, find


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that does not exist yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return find("t")


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two findings, one photograph, one damaged file and one text file."""
    folder = tmp_path / "ward"
    folder.mkdir()
    (folder / "a-ill.png").write_bytes(phantom.png(101, 256, opacity=True))
    (folder / "b-well.png").write_bytes(phantom.png(101, 256))
    Image.new("RGB", (200, 200), (250, 10, 10)).save(folder / "c-red.jpg")
    (folder / "d-half.png").write_bytes(phantom.png(102, 256)[:5000])
    (folder / "e.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def predict(tiny_bundle: Path) -> Any:
    """Run `pneumoctl predict` with the small bundle; returns the exit code."""
    return lambda *words: run(["predict", "--model", str(tiny_bundle), *map(str, words)])
