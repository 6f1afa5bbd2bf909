"""A stack whose preflight asks the lab's API, without pauses."""

from pathlib import Path

import pytest

from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import preflight
from tests.pneumoctl.cloud import Cloud


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("pre", tmp_path / "state" / "pre")


@pytest.fixture(autouse=True)
def quick(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """One set of clients for all tests: making them takes most of a second; and no pauses between tries."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr(preflight, "Aws", lambda *_: cloud.aws())


@pytest.fixture
def real_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the environment, which clients read when they are made."""
    from pneumoctl.aws.ec2 import Aws

    monkeypatch.setattr(preflight, "Aws", Aws)
