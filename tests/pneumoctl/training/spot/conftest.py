"""A stack with a training host, and a run that wants a spot instance."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.training import finalize, spot
from tests.pneumoctl.cloud import REGION, Cloud, guarded_account, launch
from tests.pneumoctl.training.spot.spot_stack import STACK


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (aws_module, spot):
        monkeypatch.setattr(module, "POLL_S", 0.02)
        monkeypatch.setattr(module, "UNSEEN_S", 1.0)
    for module, name in ((scheduled_stop, "PAUSE_S"), (finalize, "SETTLE_S"), (finalize, "REPORT_S")):
        monkeypatch.setattr(module, name, 0.02)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[Aws]:
    with guarded_account(cloud, STACK) as account:
        yield account


@pytest.fixture
def host(aws: Aws) -> Instance:
    """The stack's own, as terraform makes it: with a key, a profile, a boot script."""
    made = launch(aws, STACK, "train", "train", "g5.xlarge", own=True)
    aws.call("ec2", "stop_instances", InstanceIds=[made.id])
    return made


@pytest.fixture
def run(aws: Aws) -> Run:
    now = scheduled_stop.now(aws)
    until = runs.format_time(now + timedelta(hours=1))
    more: dict[str, Any] = {
        "type": "g5.xlarge",
        "region": REGION,
        "bucket": runs.new_id(now),
        "deadline": until,
        "market": runs.SPOT,
    }
    return Run(runs.new_id(now), STACK, runs.GPU, runs.format_time(now), [], 600, 3600, usd_per_hour=0.4, **more)
