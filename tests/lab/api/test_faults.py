"""The faults that can be switched on."""

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.lab.api.client import Api, code

REGION = "eu-west-2"


@pytest.fixture(scope="module")
def ec2(api: Api) -> Any:
    return api.client("ec2", region=REGION)


@pytest.fixture(scope="module")
def clients(api: Api) -> dict[str, Any]:
    return {service: api.client(service, region=REGION) for service in CALLS}


CALLS = {
    "ec2": lambda client: client.describe_vpcs(),
    "iam": lambda client: client.list_roles(),
    "sts": lambda client: client.get_caller_identity(),
    "s3": lambda client: client.list_buckets(),
    "ssm": lambda client: client.describe_parameters(),
    "scheduler": lambda client: client.list_schedules(),
    "cloudwatch": lambda client: client.describe_alarms(),
}


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("denied", ["UnauthorizedOperation", "AccessDenied", "AccessDenied", "AccessDenied", "AccessDeniedException"]),
        ("throttled", ["RequestLimitExceeded", "Throttling", "Throttling", "SlowDown", "ThrottlingException"]),
        ("expired", ["RequestExpired", "ExpiredToken", "ExpiredToken", "ExpiredToken", "ExpiredTokenException"]),
        ("invalid", ["AuthFailure", "InvalidClientTokenId", "InvalidClientTokenId", "InvalidAccessKeyId"]),
    ],
)
def test_each_service_fails_in_its_own_words(api: Api, clients: dict[str, Any], kind: str, codes: list[str]) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    with api.fault(kind=kind):
        for service, expected in zip(CALLS, codes, strict=False):
            with pytest.raises(errors.ClientError) as failure:
                CALLS[service](clients[service])
            assert code(failure) == expected
    for service, call in CALLS.items():
        call(clients[service])


def test_json_and_cbor_services_fail_too(api: Api, clients: dict[str, Any]) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    with api.fault(kind="error", code="Odd", status=409, message="it is"):
        for service in ("scheduler", "cloudwatch", "ssm"):
            with pytest.raises(errors.ClientError, match="it is") as failure:
                CALLS[service](clients[service])
            assert code(failure) == "Odd"


def test_a_fault_applies_to_named_calls_after_a_count_and_a_limited_number_of_times(api: Api, ec2: Any) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    outcomes = []
    with api.fault(kind="denied", service="ec2", action="DescribeV*", after=1, times=2):
        ec2.describe_subnets()
        for _ in range(5):
            try:
                ec2.describe_vpcs()
                outcomes.append("ok")
            except errors.ClientError:
                outcomes.append("denied")
        assert api.ask("GET", "faults")[-1]["matched"] == 5
    assert outcomes == ["ok", "denied", "denied", "ok", "ok"]


def test_clients_that_repeat_get_through_a_short_throttle(api: Api) -> None:
    with api.fault(kind="throttled", times=1):
        answer = api.client("ec2", region=REGION, tries=3).describe_vpcs()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


def test_slow_and_down(api: Api, ec2: Any) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    with api.fault(kind="slow", seconds=0.5, action="DescribeVpcs"):
        started = time.monotonic()
        ec2.describe_vpcs()
        assert time.monotonic() - started >= 0.5
    with api.fault(kind="down"), pytest.raises(errors.ConnectionClosedError):
        ec2.describe_vpcs()
    assert api.ask("GET", "calls")["calls"][-1]["fault"] == "down"


def test_a_bucket_name_that_is_taken(api: Api) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    s3 = api.client("s3")
    with api.fault(kind="bucket-taken", name="theirs"):
        with pytest.raises(errors.ClientError) as failure:
            s3.create_bucket(Bucket="theirs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        assert code(failure) == "BucketAlreadyExists"
        with pytest.raises(errors.ClientError) as failure:
            s3.head_bucket(Bucket="theirs")
        assert code(failure) == "403"
        s3.create_bucket(Bucket="theirs2", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def test_a_skewed_clock_shows_in_the_date(api: Api, ec2: Any) -> None:
    with api.fault(kind="skew", seconds=3600):
        headers = ec2.describe_vpcs()["ResponseMetadata"]["HTTPHeaders"]
    assert 3500 < (parsedate_to_datetime(headers["date"]) - datetime.now(UTC)).total_seconds() < 3700


@pytest.mark.parametrize("fault", [{"kind": "odd"}, {"kind": "denied", "acton": "x"}, {}, []])
def test_an_invalid_fault_is_refused(api: Api, fault: object) -> None:
    with pytest.raises(urllib.error.HTTPError) as failure:
        api.ask("POST", "faults", fault)
    with failure.value as answer:
        assert answer.code == 400
        assert json.load(answer)["error"]
    assert api.ask("GET", "faults") == []
