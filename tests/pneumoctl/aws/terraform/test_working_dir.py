"""Terraform's working copy: what is copied and removed, and when to initialise."""

import json
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.working_dir import WorkingCopy, s3

S3 = s3("states", "eu-west-1", "t")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "user_data").mkdir(parents=True)
    (folder / "main.tf").write_text("one")
    (folder / "versions.tf").write_text("v1")
    (folder / "user_data" / "boot.sh").write_text("boot")
    return folder


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
