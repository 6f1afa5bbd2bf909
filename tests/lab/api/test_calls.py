"""Calls are counted by whether they change anything, and two labs are independent."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.api.client import Api, code, running

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def ec2(api: Api) -> Any:
    return api.client("ec2", region=REGION)


def test_health(api: Api) -> None:
    assert api.ask("GET", "health")["ok"] is True


def test_two_are_independent(api: Api, ec2: Any, tmp_path: Path) -> None:
    with running(tmp_path) as other:
        other.client("ec2").create_vpc(CidrBlock="10.99.0.0/16")
        other.ask("POST", "faults", {"kind": "denied"})
        assert "10.99.0.0/16" not in [vpc["CidrBlock"] for vpc in ec2.describe_vpcs()["Vpcs"]]


def test_calls_are_counted_by_what_they_do(api: Api, ec2: Any) -> None:
    since = api.ask("GET", "calls/last")["last"]
    ec2.describe_vpcs()
    ec2.create_vpc(CidrBlock="10.31.0.0/16")
    api.client("sts").get_caller_identity()
    report = api.ask("GET", f"calls?since={since}")
    assert (report["total"], report["mutating"], report["reading"]) == (3, 1, 2)
    assert [call["action"] for call in report["calls"]] == ["DescribeVpcs", "CreateVpc", "GetCallerIdentity"]
    assert {call["agent"] for call in report["calls"]} == {"boto3"}
    assert [call["action"] for call in api.ask("GET", f"calls?since={since}&mutating=true")["calls"]] == ["CreateVpc"]


def test_the_labs_own_calls_are_neither_counted_nor_matched_by_faults(api: Api) -> None:
    since = api.ask("GET", "calls/last")["last"]
    with api.fault(kind="denied"):
        api.client("ec2", agent="pneumoctl-lab").create_vpc(CidrBlock="10.32.0.0/16")
    assert api.ask("GET", f"calls?since={since}")["total"] == 0


def test_a_dry_run_changes_nothing(api: Api, ec2: Any, refused: Any) -> None:
    since = api.ask("GET", "calls/last")["last"]
    with refused as failure:
        ec2.start_instances(InstanceIds=["i-00000000000000000"], DryRun=True)
    assert code(failure) == "DryRunOperation"
    assert api.ask("GET", f"calls?since={since}")["mutating"] == 0


def test_s3_calls_have_their_names(api: Api) -> None:
    s3 = api.client("s3")
    since = api.ask("GET", "calls/last")["last"]
    s3.create_bucket(Bucket="named", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="named", Key="a/b c", Body=b"x")
    s3.get_object(Bucket="named", Key="a/b c")
    s3.list_objects_v2(Bucket="named")
    s3.copy_object(Bucket="named", Key="copy", CopySource="named/a/b c")
    s3.put_bucket_versioning(Bucket="named", VersioningConfiguration={"Status": "Enabled"})
    s3.get_bucket_versioning(Bucket="named")
    s3.head_bucket(Bucket="named")
    s3.delete_objects(Bucket="named", Delete={"Objects": [{"Key": "copy"}]})
    calls = api.ask("GET", f"calls?since={since}")["calls"]
    assert [(call["action"], call["mutating"]) for call in calls] == [
        ("CreateBucket", True),
        ("PutObject", True),
        ("GetObject", False),
        ("ListObjectsV2", False),
        ("CopyObject", True),
        ("PutBucketVersioning", True),
        ("GetBucketVersioning", False),
        ("HeadBucket", False),
        ("DeleteObjects", True),
    ]
    assert calls[1]["target"] == "/named/a/b c"


def test_calls_are_written_and_forgotten(api: Api, ec2: Any) -> None:
    ec2.describe_vpcs()
    written = [json.loads(line) for line in (api.state / "calls.jsonl").read_text().splitlines()]
    assert (written[-1]["action"], written[-1]["status"]) == ("DescribeVpcs", 200)
    assert datetime.now(UTC) - datetime.fromisoformat(written[-1]["time"]) < timedelta(seconds=20)
    api.ask("POST", "calls/reset")
    assert api.ask("GET", "calls")["total"] == 0
    assert len((api.state / "calls.jsonl").read_text().splitlines()) == len(written)
