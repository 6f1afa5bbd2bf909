"""The scheduler's clock: a one-time stop runs once, at its time, and only if its role allows it."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.lab.api.client import Api, VpcIds, code, describe_instance, instance

REGION = "us-east-1"
ACCOUNT = "123456789012"
GROUP = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/guards"
TAGS = [{"ResourceType": "instance", "Tags": [{"Key": "pneumoctl:role", "Value": "train"}]}]
TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "scheduler.amazonaws.com"},
    "Action": "sts:AssumeRole",
    "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnEquals": {"aws:SourceArn": GROUP}},
}
STOP = {
    "Effect": "Allow",
    "Action": "ec2:StopInstances",
    "Resource": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*",
    "Condition": {"StringEquals": {"aws:ResourceTag/pneumoctl:role": ["train"]}},
}


@pytest.fixture(scope="module")
def scheduler(api: Api) -> Any:
    client = api.client("scheduler", region=REGION)
    client.create_schedule_group(Name="guards")
    return client


def create_role(api: Api, name: str, **trust: Any) -> str:
    iam = api.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document({**TRUST, **trust}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="stop", PolicyDocument=document(STOP))
    return arn


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def role(api: Api) -> str:
    return create_role(api, "guard")


def schedule(scheduler: Any, name: str, role: str, ids: list[str], when: datetime, **more: Any) -> None:
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances",
        "RoleArn": role,
        "Input": json.dumps({"InstanceIds": ids}),
    }
    options = {"GroupName": "guards", "FlexibleTimeWindow": {"Mode": "OFF"}, "ActionAfterCompletion": "DELETE", **more}
    expression = f"at({when:%Y-%m-%dT%H:%M:%S})"
    scheduler.create_schedule(Name=name, Target=target, ScheduleExpression=expression, **options)


def lab_time(api: Api, seconds: float = 0) -> datetime:
    return datetime.fromisoformat(api.ask("GET", "clock")["now"]) + timedelta(seconds=seconds)


def outcome(api: Api, name: str) -> str | None:
    fired = [
        schedule_run
        for schedule_run in api.ask("GET", "clock")["fired"]
        if schedule_run["schedule"].endswith(f"/{name}")
    ]
    assert len(fired) <= 1
    return fired[0]["outcome"] if fired else None


def wait_for_outcome(api: Api, name: str, seconds: float = 120) -> str | None:
    deadline = time.monotonic() + seconds
    while outcome(api, name) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return outcome(api, name)


def names(scheduler: Any) -> list[str]:
    return [listed["Name"] for listed in scheduler.list_schedules(GroupName="guards")["Schedules"]]


def test_it_stops_at_its_time_and_deletes_itself(api: Api, ec2: Any, net: VpcIds, scheduler: Any, role: str) -> None:
    id = instance(ec2, net, TagSpecifications=TAGS)
    schedule(scheduler, "soon", role, [id], lab_time(api, 3600).astimezone(UTC))
    assert describe_instance(ec2, id)["State"]["Name"] == "running"
    api.ask("POST", "clock", {"forward": 3600})
    assert wait_for_outcome(api, "soon") == "ok"
    assert describe_instance(ec2, id)["State"]["Name"] == "stopped"
    assert "soon" not in names(scheduler)


def test_schedules_act_when_the_clock_is_put_forward(
    api: Api, ec2: Any, net: VpcIds, scheduler: Any, role: str
) -> None:
    id = instance(ec2, net, TagSpecifications=TAGS)
    there = lab_time(api, 3600).astimezone(ZoneInfo("America/New_York"))
    zone = {"ScheduleExpressionTimezone": "America/New_York", "ActionAfterCompletion": "NONE"}
    schedule(scheduler, "later", role, [id], there, **zone)
    schedule(scheduler, "off", role, [id], lab_time(api, 10).astimezone(UTC), State="DISABLED")
    api.ask("POST", "clock", {"forward": 3500})
    time.sleep(0.6)
    assert outcome(api, "later") is None
    api.ask("POST", "clock", {"forward": 150})
    assert wait_for_outcome(api, "later") == "ok"
    assert describe_instance(ec2, id)["State"]["Name"] == "stopped"
    ec2.start_instances(InstanceIds=[id])
    time.sleep(0.6)
    assert describe_instance(ec2, id)["State"]["Name"] == "running"
    assert outcome(api, "off") is None
    assert {"later", "off"} <= set(names(scheduler))


def test_a_moved_deadline_is_kept(api: Api, ec2: Any, net: VpcIds, scheduler: Any, role: str) -> None:
    id = instance(ec2, net, TagSpecifications=TAGS)
    schedule(scheduler, "moved", role, [id], lab_time(api, 60).astimezone(UTC), ActionAfterCompletion="NONE")
    old = scheduler.get_schedule(GroupName="guards", Name="moved")
    unchanged = {name: old[name] for name in ("GroupName", "Name", "Target", "FlexibleTimeWindow")}
    moved = f"at({lab_time(api, 7200).astimezone(UTC):%Y-%m-%dT%H:%M:%S})"
    scheduler.update_schedule(**unchanged, ScheduleExpression=moved, ActionAfterCompletion="DELETE")
    api.ask("POST", "clock", {"forward": 120})
    time.sleep(0.6)
    assert outcome(api, "moved") is None
    api.ask("POST", "clock", {"forward": 7200})
    assert wait_for_outcome(api, "moved") == "ok"
    assert "moved" not in names(scheduler)


@pytest.mark.parametrize("tags", [[], [{"Key": "pneumoctl:role", "Value": "app"}]])
def test_the_role_stops_only_what_it_may(
    api: Api, ec2: Any, net: VpcIds, scheduler: Any, role: str, tags: list[dict[str, str]]
) -> None:
    options = {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]} if tags else {}
    id, name = instance(ec2, net, **options), f"other-{len(tags)}"
    schedule(scheduler, name, role, [id], lab_time(api, 1).astimezone(UTC))
    assert "not allowed ec2:StopInstances" in str(wait_for_outcome(api, name))
    assert describe_instance(ec2, id)["State"]["Name"] == "running"


def test_a_role_that_is_gone_stops_nothing(api: Api, ec2: Any, net: VpcIds, scheduler: Any) -> None:
    id, arn, iam = instance(ec2, net, TagSpecifications=TAGS), create_role(api, "brief"), api.client("iam")
    schedule(scheduler, "roleless", arn, [id], lab_time(api, 60).astimezone(UTC))
    iam.delete_role_policy(RoleName="brief", PolicyName="stop")
    iam.delete_role(RoleName="brief")
    api.ask("POST", "clock", {"forward": 61})
    assert "missing" in str(wait_for_outcome(api, "roleless"))
    assert describe_instance(ec2, id)["State"]["Name"] == "running"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"GroupName": "none"}, "ResourceNotFoundException"),
        ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "ValidationException"),
    ],
)
def test_an_impossible_schedule_is_refused(
    api: Api, scheduler: Any, role: str, refused: Any, options: dict[str, str], expected: str
) -> None:
    with refused as failure:
        schedule(scheduler, "wrong", role, ["i-0"], lab_time(api, 60), **options)
    assert code(failure) == expected


@pytest.mark.parametrize(
    "trust",
    [{"Principal": {"Service": "ec2.amazonaws.com"}}, {"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}],
)
def test_a_role_that_does_not_trust_the_scheduler(
    api: Api, scheduler: Any, refused: Any, trust: dict[str, Any]
) -> None:
    arn = create_role(api, f"distrustful-{next(iter(trust))}", **trust)
    with refused as failure:
        schedule(scheduler, "untrusted", arn, ["i-0"], lab_time(api, 60))
    assert code(failure) == "ValidationException"
    assert "execution role" in str(failure.value)
