"""A stale lock on terraform's state in S3: the error names holder, age and command; the lock is never forced."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.lab.machine.lab import Lab

STATES, KEY = "states-of-the-lab", "pneumoctl/eu-west-1/locked/terraform.tfstate"
ID, WHO = "5f1a4c0e-9a7b-4d8e-8a51-3c2f6d7e8b90", "anna@laptop"
UP = ("pneumoctl", "up", "-y", "--stack", "locked")
SETTINGS = {"PNEUMO_STATE_BUCKET": STATES}


@pytest.fixture
def lock(lab: Lab) -> Iterator[str]:
    """The object with which terraform locks the state of the stack `locked`, three hours old."""
    s3 = lab.client("s3")
    s3.create_bucket(Bucket=STATES, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    created = datetime.now(UTC) - timedelta(hours=3, minutes=5)
    held = {"ID": ID, "Operation": "OperationTypeApply", "Info": "", "Who": WHO, "Version": "1.11.4"}
    held |= {"Created": created.isoformat().replace("+00:00", "Z"), "Path": f"{STATES}/{KEY}"}
    s3.put_object(Bucket=STATES, Key=f"{KEY}.tflock", Body=json.dumps(held))
    yield f"{KEY}.tflock"
    for item in s3.list_objects_v2(Bucket=STATES).get("Contents", ()):
        s3.delete_object(Bucket=STATES, Key=item["Key"])
    s3.delete_bucket(Bucket=STATES)


@pytest.fixture(autouse=True)
def _enough_addresses(lab: Lab) -> None:
    lab.fault.api("quota", name="L-0263D0A3", value=50)  # the stack `default` also uses the quota


def objects(lab: Lab) -> set[str]:
    return {item["Key"] for item in lab.client("s3").list_objects_v2(Bucket=STATES).get("Contents", ())}


def test_a_stale_lock_is_shown_kept_and_ended_by_the_command_that_was_named(lab: Lab, lock: str) -> None:
    stderr = lab.run(UP, 5, env=SETTINGS).stderr
    assert f"terraform's state is locked by {WHO} since " in stderr
    assert f"(3 h 5 min ago) (OperationTypeApply on {STATES}/{KEY}, lock {ID})" in stderr
    assert lock in objects(lab)
    named = re.search(rf"if you are sure that {WHO} no longer runs terraform: (terraform .*)", stderr)
    assert named

    lab.run(shlex.split(named[1]), stdin="yes\n")
    assert lock not in objects(lab)


def test_a_missing_state_bucket_is_reported_with_the_command_that_creates_it(lab: Lab) -> None:
    stderr = lab.run(UP, 4, env={"PNEUMO_STATE_BUCKET": "not-there-at-all"}).stderr

    assert "state bucket: not-there-at-all does not exist, or is not yours" in stderr
    assert "aws s3 mb s3://not-there-at-all --region eu-west-1" in stderr
