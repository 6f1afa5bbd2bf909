"""Plans on a copy of terraform's working directory: beside a running terraform, and without a trace."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws.terraform import snapshot
from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.files import tree_digest
from tests.pneumoctl.tiny_terraform import Tiny, make


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return make(tmp_path, monkeypatch)


def prepared(terraform: Terraform, *names: str) -> Terraform:
    terraform.prepare({"region": "eu-west-1", "names": list(names)}, "", "eu-west-1", "t")
    return terraform


def copies(tiny: Tiny) -> list[Path]:
    return list(tiny.terraform.directory.parent.glob(f"{snapshot.PREFIX}*"))


def test_a_plan_in_a_copy_knows_the_state_and_changes_nothing(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    saved = tiny.terraform.save_plan().path.read_bytes()
    before = tree_digest(tiny.terraform.directory)
    with snapshot.copied(tiny.terraform) as copy:
        planned = prepared(copy, "a", "b").plan()
        assert [change.address for change in planned.changes] == ['terraform_data.thing["b"]']
        assert copy.outputs()["things"].keys() == {"a"} and not copy.outdated
    assert tree_digest(tiny.terraform.directory) == before and copies(tiny) == []
    assert (tiny.terraform.directory / ".pneumoctl" / "plan").read_bytes() == saved
    assert tiny.log.count("# terraform init") == 1  # the copy needs none


def test_a_plan_for_a_stack_without_a_directory_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    for base in (tmp_path, tmp_path / "state" / "pneumoctl"):
        other = base / f"{snapshot.PREFIX}1"  # a stack of that name
        other.mkdir(parents=True)
        before, stack = sorted(tmp_path.rglob("*")), base / "gone"
        there = replace(tiny.terraform, directory=stack / "terraform", log=stack / "logs" / "terraform.log")
        with snapshot.copied(there) as copy:
            planned = prepared(copy, "a").plan()
            assert [change.action for change in planned.changes] == ["create"] and not stack.exists()
        assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_in_a_copy_does_not_wait_for_a_running_terraform(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.source / "things.tf").write_text(
        f'resource "terraform_data" "slow" {{\n  provisioner "local-exec" {{ command = "cat {tmp_path}/go" }}\n}}\n'
        'variable "region" {}\nvariable "names" {}\n'
    )
    os.mkfifo(tmp_path / "go")
    tiny.prepare()
    saved = tiny.terraform.save_plan()
    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(tiny.terraform.apply, saved)
        try:
            with (tmp_path / "go").open("w"):  # opened once the provisioner reads: terraform is at work
                assert tiny.terraform.current and tiny.terraform.suspect
                with snapshot.copied(tiny.terraform) as copy:
                    assert len(prepared(copy).plan().changes) == 1 and not copy.suspect and copy.outdated
                assert tiny.terraform.current
        finally:
            applying.result()
    assert tiny.addresses() == ["terraform_data.slow"]


def test_a_state_that_is_being_written_is_replaced_by_its_last_copy(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    state = tiny.terraform.directory / "terraform.tfstate"
    complete = state.read_bytes()
    (state.parent / ".pneumoctl" / "state").write_bytes(complete)
    state.write_bytes(complete[:100])
    with snapshot.copied(tiny.terraform) as copy:
        assert prepared(copy, "a").plan().no_op
    assert state.read_bytes() == complete[:100]


def test_the_choice_of_providers_and_the_providers_are_those_of_the_stack(tiny: Tiny) -> None:
    tiny.prepare()
    lock, program = (tiny.terraform.directory / name for name in (".terraform.lock.hcl", ".terraform/providers/p"))
    lock.write_text("# versions")
    program.parent.mkdir(parents=True)
    program.touch()
    with snapshot.copied(tiny.terraform) as copy:
        assert (copy.directory / lock.name).read_text() == "# versions"
        assert (copy.directory / ".terraform/providers/p").exists()
    assert program.exists()


def test_a_killed_terraform_is_known_in_the_copy(tiny: Tiny) -> None:
    tiny.prepare("a")
    (tiny.terraform.directory / ".pneumoctl" / "applying").touch()
    with snapshot.copied(tiny.terraform) as copy:
        assert copy.suspect


def test_before_the_first_up_the_copy_is_initialised(tiny: Tiny) -> None:
    with snapshot.copied(tiny.terraform) as copy:
        assert len(prepared(copy, "a").plan().changes) == 1
    assert not (tiny.terraform.directory / "terraform.tfstate").exists()


def test_the_copy_of_a_killed_process_is_removed_and_that_of_a_living_one_kept(tiny: Tiny) -> None:
    folder = tiny.terraform.directory.parent
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for process in (dead.pid, os.getppid()):
        (folder / f"{snapshot.PREFIX}{process}" / "deep").mkdir(parents=True)
    with snapshot.copied(tiny.terraform):
        assert {path.name for path in copies(tiny)} == {f"{snapshot.PREFIX}{id}" for id in (os.getpid(), os.getppid())}
    assert len(copies(tiny)) == 1
