"""A GPU host in the lab's API, and the stack on this machine that it belongs to."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import guards, scheduled_stop
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.cloud import REGION, Cloud, guarded_account, launch, stack_with_gpu_host
from tests.pneumoctl.gpu.leases import lease


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Short pauses between two questions, and the stack's files in a folder of the test."""
    monkeypatch.setattr(aws_module, "POLL_S", 0.05)
    monkeypatch.setattr(guards, "POLL_S", 0.05)
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def aws(fast: None, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_REGION", REGION)
    with guarded_account(cloud, "watch") as account:
        yield account


@pytest.fixture
def train(aws: Aws) -> Instance:
    return launch(aws, "watch", "train", "train", "g5.xlarge")


@pytest.fixture
def stack(train: Instance) -> Stack:
    stack = stack_with_gpu_host("watch", train)
    stack.write("secrets.json", asdict(Secrets.generate()))
    return stack


@pytest.fixture
def spot_of_another_machine(aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """A spot instance that another machine launched and whose stop is armed. EC2 does not list it at first."""
    aws.stop([train], timeout=20)
    made = replace(launch(aws, "watch", "train-spot", "train", "g5.xlarge"), spot=True)
    lease(aws, made)
    tagged, states, asked = Aws.tagged, Aws.states, list[int]()

    def without(self: Aws, stack: str, tags: Any) -> list[Instance]:
        return [host for host in tagged(self, stack, tags) if host.id != made.id or len(asked) > 2]

    def late(self: Aws, ids: Any) -> dict[str, str]:
        asked.append(1)
        return {id: state for id, state in states(self, ids).items() if id != made.id or len(asked) > 2}

    monkeypatch.setattr(Aws, "tagged", without)
    monkeypatch.setattr(Aws, "states", late)
    return made
