"""The end of a spot instance: terminated, found by its tag, or reclaimed by EC2 and replaced."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import attribution, orphans, scheduled_stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack, find
from pneumoctl.training import attempts, collect, finalize, outcome, spot
from pneumoctl.training.outcome import Outcome
from pneumoctl.training.run_context import Milestones, Summary
from tests.pneumoctl.cloud import REGION, Cloud
from tests.pneumoctl.training.spot.spot_stack import STACK

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
TAKEN = "Server.SpotInstanceTermination"


def test_a_spot_instance_is_terminated_because_it_cannot_be_stopped(
    aws: Aws, host: Instance, run: Run, cloud: Cloud
) -> None:
    made = spot.launch(aws, host, run)
    with pytest.raises(PneumoError, match="one-time"):
        aws.call("ec2", "stop_instances", InstanceIds=[made.id])
    since = cloud.last()
    aws.stop([host, made])
    assert aws.states([host.id, made.id]) == {host.id: "stopped", made.id: "terminated"}
    assert "ec2:TerminateInstances" in cloud.calls(since)
    before = time.monotonic()
    aws.stop([replace(made, id="i-0123456789abcdef0")])  # EC2 has forgotten it: it was terminated
    assert time.monotonic() - before >= 1.0, "not at once: EC2 may only not tell of it yet"


def test_an_instance_not_yet_listed_is_terminated_by_its_id(
    aws: Aws, host: Instance, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, states, until = spot.launch(aws, host, run), Aws.states, time.monotonic() + 0.5

    def late(self: Aws, ids: Sequence[str]) -> dict[str, str]:
        listed = states(self, ids)
        return listed if time.monotonic() > until else {id: state for id, state in listed.items() if id != made.id}

    monkeypatch.setattr(Aws, "states", late)
    aws.stop([made])
    assert states(aws, [made.id]) == {made.id: "terminated"}


def test_an_unconfirmed_termination_is_reported_with_the_command(
    aws: Aws, host: Instance, run: Run, cloud: Cloud
) -> None:
    made = spot.launch(aws, host, run)
    cloud.fault("denied", service="ec2", action="TerminateInstances")
    with pytest.raises(PneumoError) as caught:
        aws.stop([made], timeout=120)
    assert caught.value.code == Exit.GPU_NOT_STOPPED
    assert f"aws ec2 terminate-instances --region {REGION} --instance-ids {made.id}" in caught.value.hint


def test_the_schedule_terminates_the_spot_instance(aws: Aws, host: Instance, run: Run) -> None:
    made = spot.launch(aws, host, run)
    lease = scheduled_stop.arm(aws, STACK, run.id, made, scheduled_stop.now(aws) + timedelta(minutes=5))
    assert lease.act == scheduled_stop.TERMINATE
    target = aws.call("scheduler", "get_schedule", GroupName=scheduled_stop.group(STACK), Name=run.id)["Target"]
    assert target["Arn"].endswith(":aws-sdk:ec2:terminateInstances")
    (seen,) = orphans.running_hosts(aws)
    assert (seen.id, seen.lease, seen.instance.spot) == (made.id, lease, True)


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_an_instance_of_an_unanswered_request_is_found_and_terminated(
    aws: Aws, host: Instance, run: Run, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    made = spot.launch(aws, host, run)
    watched, tagged, until = saved_stack(host), Aws.tagged, time.monotonic() + late

    def telling(self: Aws, stack: str, tags: Mapping[str, str]) -> list[Instance]:
        return tagged(self, stack, tags) if time.monotonic() > until else []

    monkeypatch.setattr(Aws, "tagged", telling)
    context = collect.run_context(aws, watched, host, run)
    summary = finalize.finalize_run(
        context, run, Milestones(start_requested=True), Outcome("failed", "no answer", Exit.TRAINING_FAILED)
    )
    assert summary.stop_failure is None and aws.states([made.id])[made.id] == "terminated"
    assert summary.receipt.guard == attribution.CLIENT


def saved_stack(host: Instance) -> Stack:
    from pneumoctl.stack.inventory import Host, Inventory

    stack = find(STACK)
    stack.save_hosts(
        Inventory((Host("nginx", "nginx", user="admin"), Host("train", "train", instance_id=host.id, user="ubuntu")))
    )
    return stack


def test_ec2_reports_a_reclaimed_instance() -> None:
    for end in ({"why": "stopped", "exit": 143}, {"why": "killed", "exit": None}, None):
        from_host = outcome.outcome_from_host(end, late=False)
        assert (
            outcome.as_spot_reclaim(from_host, TAKEN).why == "spot"
            and outcome.as_spot_reclaim(from_host, TAKEN).code == Exit.CAP_REACHED
        )
        assert outcome.as_spot_reclaim(from_host, attribution.BY_ITSELF) == from_host
    done = outcome.outcome_from_host({"why": "done"}, late=False)
    assert outcome.as_spot_reclaim(done, TAKEN) == done
    assert attribution.stopped_by("", TAKEN, False, False, False) == attribution.AWS


@pytest.mark.parametrize(
    ("why", "retries", "fallback", "market", "left"),
    [
        ("spot", 2, False, runs.SPOT, 1),
        ("spot", 0, False, None, 0),
        ("spot", 0, True, runs.ON_DEMAND, -1),
        ("no spot", 2, False, None, 0),
        ("no spot", 2, True, runs.ON_DEMAND, 1),
        ("failed", 2, True, None, 0),
        ("deadline", 2, True, None, 0),
    ],
)
def test_the_next_attempt_after_a_reclaim(
    aws: Aws, host: Instance, run: Run, why: str, retries: int, fallback: bool, market: str | None, left: int
) -> None:
    aws.client("s3").create_bucket(Bucket=run.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    run = replace(run, spot_retries=retries, fallback=fallback, instance="i-gone")
    again = attempts.next_attempt(aws, saved_stack(host), host, run, Summary(Receipt(run.id, 9, why), None))
    if market is None:
        assert again is None
        return
    assert again and (again.market, again.spot_retries, again.attempt) == (market, left, 2)
    assert again.instance == ("" if market == runs.SPOT else host.id) and again.deadline == run.deadline
    assert attempts.order_for(again, resume=True).spot is (market == runs.SPOT)


def test_no_next_attempt_after_the_deadline_or_with_a_possibly_running_gpu(aws: Aws, host: Instance, run: Run) -> None:
    run = replace(run, spot_retries=3, fallback=True)
    taken = Receipt(run.id, 9, "spot")
    late = replace(run, deadline=runs.format_time(datetime.now(UTC) + timedelta(seconds=20)))
    assert attempts.next_attempt(aws, saved_stack(host), host, late, Summary(taken, None)) is None
    assert attempts.next_attempt(aws, saved_stack(host), host, run, Summary(taken, PneumoError("on"))) is None
