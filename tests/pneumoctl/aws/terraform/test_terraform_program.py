"""The program terraform: missing, too old, or something else of that name."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.query import version
from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.errors import Exit, PneumoError


@pytest.fixture
def no_terraform(tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "bin").mkdir()
    yield {**os.environ, "PATH": str(tmp_path / "bin")}


def test_no_terraform_at_all(no_terraform: dict[str, str], tmp_path: Path) -> None:
    terraform = Terraform(tmp_path / "t", no_terraform, tmp_path / "log")
    for question in (
        lambda: version(no_terraform),
        lambda: terraform.prepare({}, "", "eu-west-1", "t"),
        terraform.outputs,
    ):
        with pytest.raises(PneumoError, match="not installed") as caught:
            question()
        assert caught.value.code == Exit.PREFLIGHT
        assert "https://" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "expected"),
    [('{"terraform_version": "1.9.8"}', (1, 9, 8)), ('{"terraform_version": "1.12.0-rc1"}', (1, 12, 0))],
)
def test_the_version(no_terraform: dict[str, str], tmp_path: Path, answer: str, expected: tuple[int, ...]) -> None:
    fake = tmp_path / "bin" / "terraform"
    fake.write_text(f"#!/bin/sh\necho '{answer}'\n")
    fake.chmod(0o755)
    assert version(no_terraform) == expected


def test_something_else_by_the_name_of_terraform(no_terraform: dict[str, str], tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "terraform"
    fake.write_text("#!/bin/sh\necho hello\nexit 3\n")
    fake.chmod(0o755)
    with pytest.raises(PneumoError, match="does not report its version: hello"):
        version(no_terraform)
