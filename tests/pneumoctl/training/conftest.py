"""A simulation of a GPU host, and a data set with the bucket of a stack that it is pushed to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.aws.ec2 import Aws
from tests.pneumoctl.cloud import Cloud, stack_with_bucket
from tests.pneumoctl.gpu_simulation import GpuSimulation, on_one_clock
from tests.pneumoctl.training.data_pushes import NAME, PATIENT


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> GpuSimulation:
    return on_one_clock(GpuSimulation(), monkeypatch)


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Aws]:
    """With a stack `t` on aws whose bucket is there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PNEUMO_STACK", "t")
    with stack_with_bucket(cloud, NAME) as aws:
        yield aws


@pytest.fixture
def xrays(tmp_path: Path) -> Path:
    """A small data set for training, with other files that must not be pushed."""
    from model import phantom

    root = tmp_path / "xrays"
    for seed, name in enumerate(("train/NORMAL/IM-1-1", f"train/PNEUMONIA/{PATIENT}", "test/NORMAL/IM-2-1",
                                 "test/PNEUMONIA/person8_virus_1", "train/NORMAL/IM-3-1")):  # fmt: skip
        file = root / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        phantom.draw(seed, 64, "PNEUMONIA" in name).save(file)
    (root / ".DS_Store").write_text("hidden")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("hidden, too")
    return root
