"""A stack on aws with a GPU host in the lab's API, to be torn down."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws import ec2
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Cloud as Where
from pneumoctl.stack.stack import find
from pneumoctl.targets.aws.context import Context
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, guarded, launch
from tests.pneumoctl.examples import aws_context


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(ec2, "POLL_S", 0.05)
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)
    account = cloud.aws()
    guarded(account, "end")
    yield account
    cloud.ask("DELETE", "faults")
    for lease in scheduled_stop.listed(account, "end"):
        scheduled_stop.delete(account, "end", lease.run)


@pytest.fixture
def train(aws: Aws) -> Instance:
    return launch(aws, "end", "train", "train", "g5.xlarge")


@pytest.fixture
def context(aws: Aws, train: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    stack = find("end")
    stack.save_cloud(Where(REGION, "", ACCOUNT, "bucket"))
    host = Host("train", "train", "10.20.32.10", instance_id=train.id, user="ubuntu", type="g5.xlarge")
    front = Host("nginx", "nginx", "10.20.0.10", public_address="127.0.0.1", user="admin")
    stack.save_hosts(Inventory((front, host)))
    made = aws_context(aws)
    return replace(made, settings=replace(made.settings, stack="end"), stack=stack)
