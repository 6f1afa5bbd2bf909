"""`teardown` exports the files of the stack and leaves nothing in AWS; the tests list the resources themselves."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from model import phantom
from tests.lab.faults.interruptions import InterruptionTest
from tests.lab.first_up import FirstUp
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import HOSTS, Operator
from tests.lab.training.host import SMALL, TrainingHost, synthetic_data_set
from tests.lab.wait import wait_for

BUCKET = "pneumoctl-default-123456789012-eu-west-1"
NEWEST_VERSIONS = {
    "runs/1/metrics.json": b"{}",
    "runs/1/log.txt": b"second",
    "bundles/a/model.onnx": b"m" * 100_000,
    "data/train/a.png": b"picture",
}
PICTURE = "patient-three.png"


@pytest.fixture(scope="module")
def run(aws: SharedStack[FirstUp], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a run of the stack that was trained to its end."""
    operator = aws.ready()
    for entry in operator.json("runs", "ls")["runs"]:
        if entry["receipt"] and entry["receipt"]["why"] == "done":
            return str(entry["run"]["id"])
    operator.run("data", "push", str(synthetic_data_set(tmp_path_factory.mktemp("data") / "drawings")))
    operator.run("train", "--gpu", "--", *SMALL, "--epochs", "1")
    return TrainingHost(operator).newest_run()


@pytest.fixture(scope="module")
def teardown_output(aws: SharedStack[FirstUp], run: str) -> str:
    """The output of a `teardown` that was killed while it destroyed the stack, and the result of the next one.

    Before that, files with older versions were put into the bucket.
    """
    operator = aws.ready()
    picture = operator.lab.paths.home / PICTURE
    picture.write_bytes(phantom.png(103, 192, opacity=True))
    operator.run("predict", "--remote", str(picture))
    s3 = operator.lab.client("s3")
    for body in (b"first", b"second"):
        s3.put_object(Bucket=BUCKET, Key="runs/1/log.txt", Body=body)
    for key, body in NEWEST_VERSIONS.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    s3.put_object(Bucket=BUCKET, Key="runs/2/gone.txt", Body=b"deleted before")
    s3.delete_object(Bucket=BUCKET, Key="runs/2/gone.txt")
    assert InterruptionTest(operator.lab, random.Random(0)).run_and_interrupt("teardown", "apply", "k", at_once=True)
    output = (operator.lab.paths.home / "said").read_text()
    return output + operator.run("teardown", "-y").stdout


@pytest.fixture
def operator(aws: SharedStack[FirstUp]) -> Operator:
    """The operator after the teardown. No stack is brought up again for these tests."""
    return aws.operator


def remaining_resources(operator: Operator) -> list[str]:
    """All resources with the stack's tag or name, without ended ones, which AWS still lists."""
    ec2 = operator.lab.client()
    tags = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["pneumoctl:stack"]}])["Tags"]
    ended = {
        gateway["NatGatewayId"]
        for gateway in ec2.describe_nat_gateways()["NatGateways"]
        if gateway["State"] == "deleted"
    }
    ended |= {
        instance["InstanceId"]
        for group in ec2.describe_instances()["Reservations"]
        for instance in group["Instances"]
        if instance["State"]["Name"] == "terminated"
    }
    tagged = [f"{tag['ResourceType']} {tag['ResourceId']}" for tag in tags if tag["Value"] == "default"]
    return [resource for resource in tagged if resource.split()[1] not in ended] + remaining_by_name(operator, ec2)


def remaining_by_name(operator: Operator, ec2: Any) -> list[str]:
    """Resources found by name or type, not by tag."""
    client = operator.lab.client
    gateways = [
        gateway["NatGatewayId"]
        for gateway in ec2.describe_nat_gateways()["NatGateways"]
        if gateway["State"] != "deleted"
    ]
    names = [
        *(role["RoleName"] for role in client("iam").list_roles()["Roles"]),
        *(profile["InstanceProfileName"] for profile in client("iam").list_instance_profiles()["InstanceProfiles"]),
        *(log_group["logGroupName"] for log_group in client("logs").describe_log_groups()["logGroups"]),
        *(group["Name"] for group in client("scheduler").list_schedule_groups()["ScheduleGroups"]),
        *(bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]),
        *(key_pair["KeyName"] for key_pair in ec2.describe_key_pairs()["KeyPairs"]),
        *(group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]),
    ]
    ids = [
        *(address["AllocationId"] for address in ec2.describe_addresses()["Addresses"]),
        *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
        *(flow_log["FlowLogId"] for flow_log in ec2.describe_flow_logs()["FlowLogs"]),
        *(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["CidrBlock"] == "10.20.0.0/16"),
    ]
    return [name for name in names if name.startswith("pneumoctl-default")] + gateways + ids


def test_nothing_is_left_in_aws(teardown_output: str, operator: Operator) -> None:
    assert remaining_resources(operator) == []
    assert operator.lab.hosts() == [] or {host["state"] for host in operator.lab.hosts()} <= {"gone", "terminated"}


def test_the_proof_is_printed(teardown_output: str) -> None:
    assert "proof: searched by tag and name, nothing of the stack remains in eu-west-1" in teardown_output


def test_what_was_in_the_bucket_was_taken_out_first(teardown_output: str, operator: Operator) -> None:
    exported = re.search(
        r"exported (?:\d+ files )?to (\S+)", teardown_output
    )  # terraform may end before the second one
    assert exported
    folder = Path(exported[1])

    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert NEWEST_VERSIONS.items() <= files.items() and "runs/2/gone.txt" not in files
    assert folder.is_relative_to(operator.lab.paths.home / ".local/share/pneumoctl/exports")


def test_the_results_of_the_store_were_taken_out_first(teardown_output: str, operator: Operator) -> None:
    exports = operator.lab.paths.home / ".local/share/pneumoctl/exports"
    lists = [file.read_text().splitlines() for file in exports.glob("*/results/results.jsonl")]
    assert any(json.loads(line)["file"].endswith(PICTURE) for lines in lists for line in lines)
    assert operator.directory.with_name("default.mac-keys.json").stat().st_mode & 0o077 == 0


def test_nothing_is_left_here(teardown_output: str, operator: Operator) -> None:
    assert not operator.directory.exists()
    nothing = "stack default has no hosts in eu-west-1"  # `status` waits only ten seconds for AWS
    wait_for("AWS to answer", lambda: operator.run("status", code=1).stdout.startswith(nothing))


def test_the_audit_record_survives_the_teardown(teardown_output: str, run: str, operator: Operator) -> None:
    assert operator.json("runs", "show", run)["receipt"]["why"] == "done"
    assert json.loads(operator.run("gpu", "reap", "-y", "--json", code=None).stdout)["stopped"] == []
    acts = operator.json("audit")["acts"]
    assert acts[0]["command"] == "up" and acts[0]["arn"].startswith("arn:aws:")
    first, *_, last = (act for act in acts if act["command"] == "teardown" and act["options"] == {"yes": True})
    assert first["code"] is None and first["arn"].startswith("arn:aws:")  # killed: begun, never ended
    assert last["code"] == 0
    if last["changed"]:  # else terraform, which outlives a killed command, had ended before
        assert "aws_s3_bucket.main" in last["changed"] and last["arn"].startswith("arn:aws:")
    assert operator.json("audit", "--verify")["faults"] == []


def test_a_second_teardown_finds_nothing_to_do(teardown_output: str, operator: Operator) -> None:
    operator.lab.reset_calls()
    output = operator.run("teardown", "-y").stdout

    assert "nothing to do: there is no stack default in eu-west-1" in output and "proof: " in output
    assert operator.lab.mutating_calls() == []


@pytest.mark.repeat
def test_the_same_stack_can_be_brought_up_again_in_one_uninterrupted_up(
    teardown_output: str, operator: Operator
) -> None:
    document = operator.json("up", "-y")

    assert {host["name"] for host in document["hosts"]} == {*HOSTS, "train"}
    assert operator.status()["up"]
    operator.run("teardown", "-y")
    assert remaining_resources(operator) == []
