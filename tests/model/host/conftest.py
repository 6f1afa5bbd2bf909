"""S3 in this process, with a bucket for a run."""

from collections.abc import Iterator
from typing import Any

import boto3  # noqa: TID253
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from model.host.s3 import Bucket
from tests.model.host.bucket_contents import NAME, REGION, RUN


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "lab")
        yield boto3.client("s3", region_name=REGION)


@pytest.fixture
def s3(aws: Any) -> Any:
    """S3 with an empty bucket."""
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()
    aws.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": REGION})
    return aws


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(NAME, REGION, f"runs/{RUN}/")
