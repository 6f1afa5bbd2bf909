"""The preflight checks the names and the owners of the buckets."""

from dataclasses import replace

from pneumoctl.aws.leftovers import bucket_name
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, tags
from tests.pneumoctl.targets.aws.provisioning.preflight.checked_rows import SETTINGS, row_of

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_a_bucket_name_that_is_taken(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("bucket-taken", name=bucket_name("pre", ACCOUNT, REGION))
    row = row_of(stack, "bucket")
    assert not row.good
    assert "belongs to another account" in row.seen
    assert "set bucket =" in row.fix


def test_a_bucket_of_ours_of_another_stack_and_of_nobody(cloud: Cloud, stack: Stack) -> None:
    aws = cloud.aws()
    settings = replace(SETTINGS, bucket="kept-by-a-test")
    assert row_of(stack, "bucket", settings).seen == "kept-by-a-test is free"
    aws.call("s3", "create_bucket", Bucket="kept-by-a-test", CreateBucketConfiguration={"LocationConstraint": REGION})
    try:
        row = row_of(stack, "bucket", settings)
        assert (row.good, row.seen) == (False, "kept-by-a-test exists already, in eu-west-1, not of a stack")
        for owner, good in (("other", False), ("pre", True)):
            aws.call("s3", "put_bucket_tagging", Bucket="kept-by-a-test", Tagging={"TagSet": tags(owner, "x")})
            assert row_of(stack, "bucket", settings).good is good
    finally:
        aws.call("s3", "delete_bucket", Bucket="kept-by-a-test")


def test_a_bucket_name_that_is_too_long(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "bucket", replace(SETTINGS, stack="a-name-of-thirty-one-characters"))
    assert not row.good
    assert "longer than 63 characters" in row.seen


def test_state_bucket(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "state bucket", replace(SETTINGS, state_bucket="nowhere-to-be-found"))
    assert not row.good
    assert "aws s3 mb s3://nowhere-to-be-found --region eu-west-1" in row.fix
