"""Terraform's working copy: what is copied and removed, when to initialise, and the move of the state."""

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
from pneumoctl.aws.terraform.working_dir import WorkingCopy, s3
from pneumoctl.errors import Exit, PneumoError
from tests.lab.api.client import Api, running
from tests.pneumoctl import tiny_terraform
from tests.pneumoctl.tiny_terraform import Tiny

S3 = s3("states", "eu-west-1", "t")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "user_data").mkdir(parents=True)
    (folder / "main.tf").write_text("one")
    (folder / "versions.tf").write_text("v1")
    (folder / "user_data" / "boot.sh").write_text("boot")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy(tmp_path / "copy")


def files(copy: WorkingCopy) -> set[str]:
    paths = (path.relative_to(copy.directory) for path in copy.directory.rglob("*") if path.is_file())
    return {str(path) for path in paths if path.parts[0] != ".pneumoctl"}


def test_what_changed_is_written_and_the_rest_is_not_touched(source: Path, copy: WorkingCopy) -> None:
    copy.write(source, {"a": 1})
    assert files(copy) == {"main.tf", "versions.tf", "user_data/boot.sh", "terraform.tfvars.json"}
    before = {name: (copy.directory / name).stat().st_ino for name in files(copy)}
    (source / "main.tf").write_text("two")
    copy.write(source, {"a": 1})
    changed = {name for name in files(copy) if (copy.directory / name).stat().st_ino != before[name]}
    assert changed == {"main.tf"} and (copy.directory / "main.tf").read_text() == "two"
    assert copy.variables() == {"a": 1}


def test_what_we_no_longer_ship_goes_and_what_is_not_ours_stays(source: Path, copy: WorkingCopy) -> None:
    copy.write(source, {})
    foreign = (".terraform/providers/x", "terraform.tfstate", "override.tf", "errored.tfstate", ".terraform.lock.hcl")
    for name in foreign:
        (copy.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.directory / name).write_text("theirs")
    (source / "user_data" / "boot.sh").unlink()
    copy.write(source, {})
    assert files(copy) == {"main.tf", "versions.tf", "terraform.tfvars.json", *foreign}


def test_a_killed_copy_leaves_no_unknown_file(source: Path, copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    from pneumoctl.aws.terraform import working_dir

    real = working_dir._put

    def dies_at_the_last(path: Path, content: bytes, mode: int) -> None:
        if path.name == "versions.tf":
            raise KeyboardInterrupt
        real(path, content, mode)

    monkeypatch.setattr(working_dir, "_put", dies_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        copy.write(source, {})
    monkeypatch.undo()
    (source / "main.tf").unlink()  # copied by the one that was killed, gone in the next version
    copy.write(source, {})
    assert files(copy) == {"versions.tf", "user_data/boot.sh", "terraform.tfvars.json"}


def test_what_terraform_left_in_a_checkout_is_not_shipped(source: Path, copy: WorkingCopy) -> None:
    for name in (".terraform/providers/p", "terraform.tfstate", "terraform.tfvars.json", "x.tfstate.backup"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("of a developer")
    (source / ".terraform.lock.hcl").write_text("shipped")
    copy.write(source, {})
    assert files(copy) == {
        *("main.tf", "versions.tf", "user_data/boot.sh"),
        *("terraform.tfvars.json", ".terraform.lock.hcl"),
    }
    assert copy.variables() == {}


def provider(copy: WorkingCopy) -> Path:
    """As `terraform init` leaves a working copy: a lock file, and a link into a mirror."""
    name = "registry.terraform.io/hashicorp/aws"
    (copy.directory / ".terraform.lock.hcl").write_text(f'provider "{name}" {{\n  version = "5.100.0"\n}}\n')
    program = copy.directory.parent / "mirror" / "program"
    program.parent.mkdir()
    program.write_text("")
    link = copy.directory / ".terraform" / "providers" / name / "5.100.0" / "linux_amd64"
    link.parent.mkdir(parents=True)
    link.symlink_to(program.parent)
    return program


def test_init_only_when_versions_or_backend_changed_or_a_provider_is_gone(source: Path, copy: WorkingCopy) -> None:
    copy.write(source, {})
    assert not copy.initialised({}) and not copy.versions_changed()
    program = provider(copy)
    copy.note_initialised({})
    copy.write(source, {"more": "variables"})
    assert copy.initialised({})
    program.unlink()  # the mirror has moved
    assert not copy.initialised({})
    program.write_text("")
    assert copy.initialised({}) and not copy.initialised(S3)
    (source / "versions.tf").write_text("v2")
    copy.write(source, {})
    assert not copy.initialised({}) and copy.versions_changed()
    copy.note_initialised({})
    copy.forget_initialised()
    assert not copy.initialised({}) and not copy.versions_changed()


def test_the_backend_is_read_from_terraform_first(source: Path, copy: WorkingCopy) -> None:
    copy.write(source, {})
    assert copy.backend() is None
    (copy.directory / "terraform.tfstate").write_text("{}")
    assert copy.backend() == {}
    copy.note_initialised(S3)
    assert copy.backend() == S3 and not copy.initialised(S3)  # .terraform is gone
    at = copy.directory / ".terraform" / "terraform.tfstate"
    at.parent.mkdir()
    at.write_text(json.dumps({"backend": {"type": "s3", "config": {**S3, "profile": None}}}))
    assert copy.backend() == S3 and copy.initialised(S3)
    at.write_text(json.dumps({"version": 3}))
    assert copy.backend() == {}


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_record_of_the_backend_hides_no_state_in_s3(source: Path, copy: WorkingCopy, damage: str) -> None:
    copy.write(source, {})
    copy.note_initialised(S3)
    at = copy.directory / ".terraform" / "terraform.tfstate"
    at.parent.mkdir()
    at.write_text(damage)
    assert copy.backend() == S3 and not copy.initialised(S3)
    copy.write_backend(S3)
    assert not at.exists()  # terraform would refuse to read it


def test_a_truncated_state_is_replaced_by_the_newest_copy(
    source: Path, copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """terraform itself keeps only the one from before a whole apply."""
    copy.write(source, {})
    state, backup = (copy.directory / name for name in ("terraform.tfstate", "terraform.tfstate.backup"))
    assert not copy.restore_state()  # nothing at all
    state.write_text("")
    assert not copy.restore_state()  # nothing to mend it with
    backup.write_text('{"serial": 3}')
    for serial in (8, 9):  # the second comes too soon to be copied
        state.write_text(f'{{"serial": {serial}}}')
        copy.keep_state()
    assert not copy.restore_state()  # it is whole
    state.write_text('{"serial": 9')
    copy.keep_state()
    assert copy.restore_state()
    assert json.loads(state.read_text())["serial"] == 8
    state.write_text("")
    monkeypatch.setattr("pneumoctl.aws.terraform.working_dir.KEEP_S", 0)
    copy.keep_state()  # never of what is not whole
    backup.write_text('{"serial": 12}')
    assert copy.restore_state() and json.loads(state.read_text())["serial"] == 12
    copy.note_initialised(S3)
    state.write_text("")  # as its move to S3 leaves it
    assert not copy.restore_state()


def test_the_states_of_all_stacks_and_regions_fit_into_one_bucket() -> None:
    keys = {s3("b", region, stack)["key"] for region in ("eu-west-1", "us-east-1") for stack in ("a", "b")}
    assert len(keys) == 4
    assert S3["use_lockfile"] and S3["encrypt"]


# --- the real thing, with the lab's S3 --------------------------------------------------------------------------------


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
