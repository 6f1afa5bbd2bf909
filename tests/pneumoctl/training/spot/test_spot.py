"""A run's own spot instance: created like the stack's host, found by its tag, terminated, and replaced if reclaimed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import boot_scripts
from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import attribution, orphans, scheduled_stop, stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack, find
from pneumoctl.targets.aws.provisioning import ssh_key
from pneumoctl.training import attempts, collect, finalize, outcome, spot
from pneumoctl.training.outcome import Outcome
from pneumoctl.training.run_context import Milestones, Summary
from tests.pneumoctl.cloud import BOOT, REGION, Cloud, guarded, launch

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
STACK = "spot"
TAKEN = "Server.SpotInstanceTermination"


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
    account = cloud.aws()
    guarded(account, STACK)
    yield account
    cloud.ask("DELETE", "faults")
    for lease in scheduled_stop.listed(account, STACK):
        scheduled_stop.delete(account, STACK, lease.run)


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


def described(aws: Aws, id: str) -> dict[str, Any]:
    groups = aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[id])
    (description,) = [dict(instance) for group in groups for instance in group["Instances"]]
    return description


def test_a_spot_instance_matches_the_stacks_host_and_terminates_on_shutdown(aws: Aws, host: Instance, run: Run) -> None:
    made = spot.launch(aws, host, run)
    like, found = described(aws, host.id), described(aws, made.id)

    for name in ("ImageId", "InstanceType", "SubnetId", "SecurityGroups", "KeyName"):
        assert found[name] == like[name]
    assert found["IamInstanceProfile"]["Arn"] == like["IamInstanceProfile"]["Arn"]
    assert found["InstanceLifecycle"] == "spot" and made.spot and made.role == "train" and made.name == spot.NAME
    assert stop.shutdown_ends_billing(aws, made)
    tags = [
        aws.call("ec2", "describe_instance_attribute", InstanceId=id, Attribute="userData") for id in (host.id, made.id)
    ]
    assert tags[0]["UserData"]["Value"] == tags[1]["UserData"]["Value"] != ""
    assert found["PrivateIpAddress"] == made.private_ip != host.private_ip


def test_an_image_that_was_deregistered_is_said(aws: Aws, cloud: Cloud, host: Instance, run: Run) -> None:
    cloud.fault("deregistered", name=described(aws, host.id)["ImageId"])
    with pytest.raises(PneumoError, match=f"the image of the GPU host {host.id} was deregistered") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["spot"] == "none"
    assert f"terminate-instances --region {REGION} --instance-ids {host.id}; pneumoctl up" in caught.value.hint
    assert spot.instance_of(aws, run) is None


@pytest.mark.parametrize("saved", [b"", b"#cloud-boothook\n#!/bin/sh\n"])
def test_none_is_launched_without_the_guard_in_its_user_data(
    aws: Aws, cloud: Cloud, host: Instance, run: Run, saved: bytes
) -> None:
    aws.call("ec2", "modify_instance_attribute", InstanceId=host.id, UserData={"Value": saved})
    since = cloud.last()
    with pytest.raises(PneumoError, match=f"user data of the GPU host {host.id} do not contain the guard") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["spot"] == "none"
    assert f"--instance-ids {host.id}; pneumoctl up" in caught.value.hint
    assert "ec2:RunInstances" not in cloud.calls(since)


def test_the_user_data_with_another_ssh_key_still_have_the_guard(aws: Aws, host: Instance, run: Run) -> None:
    saved = boot_scripts.read(aws, host.id)
    both = ssh_key.user_data_of_train(saved, "ssh-ed25519 AAAA other", "ubuntu")
    aws.call("ec2", "modify_instance_attribute", InstanceId=host.id, UserData={"Value": both})
    scripts = boot_scripts.split(boot_scripts.read(aws, spot.launch(aws, host, run).id))
    assert scripts[-1] == BOOT and all("AAAA other" in script for script in scripts[:-1]) and len(scripts) == 3


def test_an_account_without_the_role_for_spot_is_said(aws: Aws, cloud: Cloud, host: Instance, run: Run) -> None:
    cloud.fault("error", service="ec2", action="RunInstances", code=spot.NO_ROLE, message="may not", status=403)
    with pytest.raises(PneumoError, match="the account has no role for spot instances") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["spot"] == "none"
    assert "create-service-linked-role" in caught.value.hint


def test_its_disk_is_of_the_same_size_encrypted_and_goes_with_it(aws: Aws, host: Instance, run: Run) -> None:
    made = spot.launch(aws, host, run)
    disks = [described(aws, id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] for id in (host.id, made.id)]
    like, own = (aws.call("ec2", "describe_volumes", VolumeIds=[id])["Volumes"][0] for id in disks)
    assert (own["Size"], own["VolumeType"], own["Encrypted"]) == (like["Size"], like["VolumeType"], True)

    aws.stop([made])
    with pytest.raises(PneumoError):
        aws.call("ec2", "describe_volumes", VolumeIds=[disks[1]])


def test_an_order_that_is_repeated_makes_one_instance(aws: Aws, host: Instance, run: Run) -> None:
    first = spot.launch(aws, host, run)
    assert spot.launch(aws, host, run).id == first.id
    assert spot.launch(aws, host, replace(run, attempt=2)).id != first.id
    spot_instance = spot.instance_of(aws, run)
    assert spot_instance and spot_instance.id == first.id


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


def test_without_capacity_no_instance_is_created(aws: Aws, host: Instance, run: Run, cloud: Cloud) -> None:
    cloud.fault("error", service="ec2", action="RunInstances", code="InsufficientInstanceCapacity", status=400)
    with pytest.raises(PneumoError, match=r"has no spot g5\.xlarge now") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and "--fallback" in caught.value.hint
    ended = outcome.outcome_from_error(caught.value, started=True)
    assert (ended.why, ended.code) == (outcome.NO_SPOT, Exit.PREFLIGHT)
    assert spot.instance_of(aws, run) is None


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
