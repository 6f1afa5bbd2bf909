"""A stack on aws with a GPU host in the lab's API, to be torn down."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws import ec2
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import scheduled_stop
from pneumoctl.targets.aws.context import Context
from tests.pneumoctl.cloud import Cloud, guarded_account, launch, stack_with_gpu_host
from tests.pneumoctl.examples import aws_context


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(ec2, "POLL_S", 0.05)
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)
    with guarded_account(cloud, "end") as account:
        yield account


@pytest.fixture
def train(aws: Aws) -> Instance:
    return launch(aws, "end", "train", "train", "g5.xlarge")


@pytest.fixture
def context(aws: Aws, train: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    made = aws_context(aws)
    return replace(made, settings=replace(made.settings, stack="end"), stack=stack_with_gpu_host("end", train))
