"""The state in S3: its move there and back, its lock, and plans of another machine."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.aws.terraform import snapshot
from pneumoctl.aws.terraform.process import Runs
from pneumoctl.aws.terraform.working_dir import s3
from pneumoctl.errors import Exit, PneumoError
from tests.lab.api.client import Api, running
from tests.pneumoctl import tiny_terraform
from tests.pneumoctl.tiny_terraform import Tiny

S3 = s3("states", "eu-west-1", "t")


def test_the_states_of_all_stacks_and_regions_fit_into_one_bucket() -> None:
    keys = {s3("b", region, stack)["key"] for region in ("eu-west-1", "us-east-1") for stack in ("a", "b")}
    assert len(keys) == 4
    assert S3["use_lockfile"] and S3["encrypt"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as running_api:
        running_api.client("s3").create_bucket(
            Bucket="states", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield running_api


@pytest.fixture
def tiny(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    environment = {
        "AWS_ENDPOINT_URL": api.url,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    bucket = api.client("s3")
    for item in bucket.list_objects_v2(Bucket="states").get("Contents", ()):
        bucket.delete_object(Bucket="states", Key=item["Key"])
    return tiny_terraform.make(tmp_path, monkeypatch, environment)


def in_s3(api: Api) -> list[str]:
    return [item["Key"] for item in api.client("s3").list_objects_v2(Bucket="states").get("Contents", ())]


def test_the_state_moves_to_s3_and_back_and_a_copy_of_each_stays(api: Api, tiny: Tiny) -> None:
    directory = tiny.terraform.directory
    tiny.prepare("a")
    tiny.apply()
    things = tiny.terraform.outputs()
    tiny.prepare("a", state_bucket="states")
    assert in_s3(api) == [S3["key"]]
    assert tiny.terraform.outputs() == things and tiny.terraform.plan().no_op
    assert not (directory / "terraform.tfstate").exists() or not (directory / "terraform.tfstate").read_text()
    tiny.prepare("a", "b", state_bucket="states")
    tiny.apply()
    things = tiny.terraform.outputs()
    tiny.prepare("a", "b")
    assert tiny.terraform.outputs() == things and tiny.terraform.plan().no_op
    assert sorted(things["things"]) == ["a", "b"]
    copies = sorted(directory.glob("terraform.tfstate.before-migration-*"))
    assert [len(json.loads(saved_copy.read_text())["resources"][0]["instances"]) for saved_copy in copies] == [1, 2]
    assert {saved_copy.stat().st_mode & 0o777 for saved_copy in copies} == {0o600}


def test_a_new_stack_with_its_state_in_s3_needs_one_init(api: Api, tiny: Tiny) -> None:
    tiny.prepare("a", state_bucket="states")
    tiny.apply()
    assert in_s3(api) == [S3["key"]]
    tiny.prepare("a", state_bucket="states")
    assert tiny.log.count("# terraform init") == 1
    subprocess.run(["rm", "-r", tiny.terraform.directory / ".terraform"], check=True)
    tiny.prepare("a", state_bucket="states")
    assert tiny.log.count("# terraform init") == 2 and tiny.terraform.plan().no_op


def test_a_plan_in_a_copy_reads_the_state_in_s3_while_another_machine_holds_its_lock(api: Api, tiny: Tiny) -> None:
    tiny.prepare("a", state_bucket="states")
    tiny.apply()
    lock = f"{S3['key']}.tflock"
    api.client("s3").put_object(Bucket="states", Key=lock, Body=b'{"ID": "of another machine"}')
    with snapshot.copied(tiny.terraform) as copy:
        copy.prepare({"region": "eu-west-1", "names": ["a", "b"]}, "states", "eu-west-1", "t")
        assert [change.address for change in copy.plan().changes] == ['terraform_data.thing["b"]']
    assert in_s3(api) == [S3["key"], lock] and tiny.log.count("# terraform init") == 1


def test_a_state_bucket_that_is_not_there(tiny: Tiny) -> None:
    with pytest.raises(PneumoError, match="nowhere, does not exist") as caught:
        tiny.prepare("a", state_bucket="nowhere")
    assert caught.value.code == Exit.PREFLIGHT
    assert "aws s3 mb s3://nowhere --region eu-west-1" in caught.value.hint


def test_the_state_in_s3_is_found_without_terraforms_backend_record(api: Api, tiny: Tiny) -> None:
    tiny.prepare("a", state_bucket="states")
    tiny.apply()
    subprocess.run(["rm", "-r", tiny.terraform.directory / ".terraform"], check=True)
    tiny.prepare("a")
    assert tiny.addresses() == ['terraform_data.thing["a"]']


def test_a_stale_lock_in_s3_is_shown_and_its_command_frees_it(api: Api, tiny: Tiny) -> None:
    tiny.prepare("a", seconds=20, state_bucket="states")
    planned = tiny.terraform.plan()
    runs = Runs(tiny.terraform.directory / ".pneumoctl")
    argv = ["terraform", "apply", "-json", str(planned.path)]
    child = runs._start(argv, tiny.terraform.directory, tiny.terraform.environment)
    deadline = time.monotonic() + 600
    while '"apply_start"' not in runs.output.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    with pytest.raises(PneumoError) as caught:
        tiny.terraform.plan()
    error = caught.value
    assert error.code == Exit.LOCKED
    assert re.search(r"locked by \S+@\S+ since .*ago\) \(OperationTypeApply on states/", error.message)
    command = shlex.split(error.hint.partition(": ")[2])
    assert command[:2] == ["terraform", f"-chdir={tiny.terraform.directory}"]
    subprocess.run(command, input="yes\n", text=True, env=dict(tiny.terraform.environment), check=True)
    assert not tiny.terraform.plan().no_op
