"""A run's objects in the bucket: the end report of this attempt only, progress, and results without checkpoints."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.training import artifacts
from pneumoctl.training.artifacts import RunStore
from tests.pneumoctl.cloud import REGION, Cloud

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
RUN = "20261123-061500-a1b2"
BUCKET = "training-store"


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[Aws]:
    account = cloud.aws()
    where = {"LocationConstraint": REGION}
    account.call("s3", "create_bucket", Bucket=BUCKET, CreateBucketConfiguration=where)
    yield account
    s3.empty(account, BUCKET)
    account.call("s3", "delete_bucket", Bucket=BUCKET)


def put(aws: Aws, key: str, text: str) -> None:
    aws.call("s3", "put_object", Bucket=BUCKET, Key=key, Body=text.encode())


def test_the_end_of_an_earlier_attempt_is_forgotten(aws: Aws) -> None:
    store = RunStore(aws, BUCKET, RUN)
    assert store.end_report() is None
    put(aws, f"runs/{RUN}/end.json", json.dumps({"why": "deadline"}))
    assert store.end_report() == {"why": "deadline"}
    written = store.last_written()
    assert written and abs((datetime.now(UTC) - written).total_seconds()) < 60
    store.delete_end_report()
    assert store.end_report() is None
    store.delete_end_report()


def test_results_are_downloaded_and_checkpoints_are_not(aws: Aws, tmp_path: Path) -> None:
    for name in ("checkpoints/latest", "checkpoints/step-00000001/arrays.npz", "order.json", "train.log", "x/y.json"):
        put(aws, f"runs/{RUN}/{name}", name)
    put(aws, "runs/20261123-061500-ffff/train.log", "of another")
    assert RunStore(aws, BUCKET, RUN).download(tmp_path) == ["train.log", "x/y.json"]
    assert (tmp_path / "train.log").read_text() == "train.log" and (tmp_path / "x" / "y.json").exists()


def test_data_is_the_newest_and_none_is_exit_4(aws: Aws) -> None:
    with pytest.raises(PneumoError, match="no data set") as caught:
        artifacts.latest_data_set(aws, BUCKET)
    assert caught.value.code == Exit.PREFLIGHT and "data push" in caught.value.hint
    put(aws, "data/latest", "abc\n")
    put(aws, "data/manifests/abc.json", json.dumps({"name": "xrays", "files": []}))
    assert artifacts.latest_data_set(aws, BUCKET) == ("abc", "xrays")


def test_access_denied_is_not_a_missing_object(aws: Aws, cloud: Cloud) -> None:
    put(aws, f"runs/{RUN}/end.json", "{}")
    cloud.fault("denied", service="s3", action="GetObject")
    with pytest.raises(PneumoError, match="denies"):
        RunStore(aws, BUCKET, RUN).end_report()
