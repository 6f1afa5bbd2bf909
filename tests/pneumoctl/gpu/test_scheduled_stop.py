"""The scheduled stop: it is created and read back before a run starts, with limited retries, and deleted after it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pneumoctl.aws.api import Account, steady
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import bundled
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu.scheduled_stop import Lease
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, guarded

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
RUN = "20261123-061500-a1b2"
FIRST_BOOT_OF_HOST = f"{FIRST_BOOT}i-1"
HOST = Instance("i-1", "train", "train", "stopped", "g5.xlarge", datetime(2026, 1, 1, tzinfo=UTC), "", "")
UNTIL = datetime(2030, 1, 2, 3, 4, 5, 999, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    account = cloud.aws()
    guarded(account, "arm")
    group = {"GroupName": "pneumoctl-arm"}
    for schedule in account.items("scheduler", "list_schedules", "Schedules", **group):
        account.call("scheduler", "delete_schedule", **group, Name=schedule["Name"])
    return account


def test_it_is_armed_read_back_listed_moved_and_deleted(aws: Aws) -> None:
    lease = scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL)
    assert lease == Lease(RUN, ("i-1",), UNTIL.replace(microsecond=0))
    assert scheduled_stop.listed(aws, "arm") == [lease]
    assert scheduled_stop.listed(aws, "never-made") == []

    schedule = aws.call("scheduler", "get_schedule", GroupName="pneumoctl-arm", Name=RUN)
    assert schedule["ScheduleExpression"] == "at(2030-01-02T03:04:05)" and schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["Target"]["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/pneumoctl-arm-scheduler-{REGION}"

    later = scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL + timedelta(hours=1))
    assert scheduled_stop.listed(aws, "arm") == [later]
    scheduled_stop.delete(aws, "arm", RUN)
    scheduled_stop.delete(aws, "arm", RUN)
    assert scheduled_stop.listed(aws, "arm") == []


def test_the_role_is_the_one_that_terraform_makes() -> None:
    text = (bundled("terraform") / "guard.tf").read_text()
    assert 'name        = "${local.name}-scheduler-${var.region}"' in text
    assert scheduled_stop.ROLE.endswith(":role/pneumoctl-{stack}-scheduler-{region}")


def test_temporary_errors_are_retried(aws: Aws, cloud: Cloud) -> None:
    cloud.fault("throttled", service="scheduler", times=4)
    assert scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL).run == RUN


def test_a_role_that_the_scheduler_does_not_know_yet_is_waited_for(
    aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
    fault = {"code": "ValidationException", "message": refusal, "service": "scheduler", "action": "CreateSchedule"}
    cloud.fault("error", **fault, times=2 * scheduled_stop.ATTEMPTS)
    assert scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL).run == RUN

    monkeypatch.setattr(scheduled_stop, "ROLE_S", 0.1)
    cloud.fault("error", **fault)
    with pytest.raises(
        PneumoError, match="cannot be armed: AWS refused scheduler:CreateSchedule: The execution"
    ) as caught:
        scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL)
    assert (caught.value.code, caught.value.hint) == (Exit.PREFLIGHT, "pneumoctl up")


def test_the_schedule_of_the_first_boot_is_disabled_and_stays(aws: Aws) -> None:
    lease = scheduled_stop.arm(aws, "arm", FIRST_BOOT_OF_HOST, HOST, UNTIL)
    named = {"GroupName": "pneumoctl-arm", "Name": FIRST_BOOT_OF_HOST}
    before = aws.call("scheduler", "get_schedule", **named)
    assert scheduled_stop.listed(aws, "arm") == [lease] and not lease.of_run
    for _ in range(2):
        scheduled_stop.delete(aws, "arm", FIRST_BOOT_OF_HOST)
    after = aws.call("scheduler", "get_schedule", **named)
    assert scheduled_stop.listed(aws, "arm") == [] and after["State"] == "DISABLED"
    assert {name: after[name] for name in scheduled_stop._KEPT} == {name: before[name] for name in scheduled_stop._KEPT}
    scheduled_stop.delete(aws, "never-made", FIRST_BOOT_OF_HOST)


def test_a_first_boot_that_is_over_needs_no_disabling(aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduled_stop.arm(aws, "arm", FIRST_BOOT_OF_HOST, HOST, UNTIL)
    cloud.fault("error", service="scheduler", action="UpdateSchedule", code="ValidationException", message="the past")
    with pytest.raises(PneumoError, match="the past"):
        scheduled_stop.delete(aws, "arm", FIRST_BOOT_OF_HOST)
    monkeypatch.setattr(scheduled_stop, "now", lambda _: UNTIL + timedelta(seconds=1))
    scheduled_stop.delete(aws, "arm", FIRST_BOOT_OF_HOST)


def test_terraform_arms_the_same_schedule_for_a_first_boot(aws: Aws) -> None:
    text = (bundled("terraform") / "guard.tf").read_text()
    (block,) = re.findall(r'^resource "aws_scheduler_schedule" "first_boot" {\n(.*?)^}', text, re.M | re.S)
    scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL)
    target = aws.call("scheduler", "get_schedule", GroupName="pneumoctl-arm", Name=RUN)["Target"]
    assert f'name = "{FIRST_BOOT}${{aws_instance.host["train"].id}}"' in re.sub(" +=", " =", block)
    assert "host[each.key]" not in block  # terraform would wait for all other hosts
    assert target["Arn"].partition(":scheduler:")[2] in block
    assert set(json.loads(target["Input"])) == {"InstanceIds"} and "{ InstanceIds = [" in block
    for limit in target["RetryPolicy"].values():
        assert f"= {limit}\n" in block


def test_a_denied_schedule_starts_nothing(aws: Aws, cloud: Cloud) -> None:
    cloud.fault("denied", service="scheduler", action="CreateSchedule")
    with pytest.raises(PneumoError, match="cannot be armed: AWS denies scheduler:CreateSchedule") as caught:
        scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL)
    assert caught.value.code == Exit.PREFLIGHT


def test_what_cannot_be_read_back_starts_nothing(aws: Aws, cloud: Cloud) -> None:
    cloud.fault("denied", service="scheduler", action="GetSchedule")
    with pytest.raises(PneumoError, match="nothing was started") as caught:
        scheduled_stop.arm(aws, "arm", RUN, HOST, UNTIL)
    assert caught.value.code == Exit.PREFLIGHT


class Odd:
    """An account that stores a schedule with other values than requested."""

    region = REGION

    def __init__(self, **changed: Any) -> None:
        self.changed, self.kept = changed, dict[str, Any]()

    def identity(self) -> Account:
        return Account(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/me")

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == "create_schedule":
            self.kept = arguments | self.changed
        return self.kept


@pytest.mark.parametrize(
    "changed",
    [
        {"State": "DISABLED"},
        {"ScheduleExpression": "at(2031-01-02T03:04:05)"},
        {"ScheduleExpression": "rate(1 hour)"},
        {"ScheduleExpressionTimezone": "Asia/Tokyo"},
        {"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances", "RoleArn": "another", "Input": "{}"}},
    ],
)
def test_a_schedule_that_reads_back_differently_is_an_error(changed: dict[str, Any]) -> None:
    odd: Any = Odd(**changed)
    with pytest.raises(PneumoError, match="reads back as") as caught:
        scheduled_stop.arm(odd, "arm", RUN, HOST, UNTIL)
    assert caught.value.code == Exit.PREFLIGHT
    assert scheduled_stop.arm(Odd(), "arm", RUN, HOST, UNTIL).instances == ("i-1",)  # type: ignore[arg-type]


def test_a_lease_is_for_its_host_and_for_its_time() -> None:
    lease = Lease(RUN, ("i-1",), UNTIL)
    longer = replace(lease, until=UNTIL + timedelta(hours=1))
    before = UNTIL - timedelta(seconds=1)
    assert scheduled_stop.lease_covering([lease, longer], "i-1", before) == longer
    assert scheduled_stop.lease_covering([lease], "i-1", UNTIL) is None
    assert scheduled_stop.lease_covering([lease], "i-2", before) is None


def test_time_is_aws_s_and_not_this_machine_s() -> None:
    class Ahead(Odd):
        def identity(self) -> Account:
            return Account(ACCOUNT, "arn:aws:iam::1:user/me", skew=200.0)

    ahead: Any = Ahead()
    before, now, after = datetime.now(UTC), scheduled_stop.now(ahead), datetime.now(UTC)
    assert before <= now + timedelta(seconds=200) <= after


def test_a_clock_that_is_set_after_the_question_moves_no_deadline() -> None:
    class Corrected(Odd):
        def identity(self) -> Account:  # asked a minute ago, when this machine's clock was an hour ahead
            asked = datetime.now(UTC) + timedelta(hours=1) - timedelta(minutes=1)
            return Account(ACCOUNT, "arn:aws:iam::1:user/me", 3600.0, asked, steady() - 60)

    corrected: Any = Corrected()
    before, now, after = datetime.now(UTC), scheduled_stop.now(corrected), datetime.now(UTC)
    assert before <= now <= after
