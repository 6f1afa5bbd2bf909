"""The preflight checks what this machine has: programs, packages, a model, a key, disk space, its address."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl import installation
from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import preflight
from pneumoctl.targets.aws.provisioning.preflight import rows
from tests.pneumoctl.cloud import Cloud
from tests.pneumoctl.targets.aws.provisioning.preflight.checked_rows import PROGRAMS, SETTINGS, row_of

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_terraform_missing(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rest = {row.check: row for row in rows(SETTINGS, stack) if not row.good}
    assert set(rest) == PROGRAMS
    assert rest["terraform"].fix
    assert "openssh-client" in rest["ssh client"].fix


@pytest.mark.parametrize(("version", "good"), [("1.9.8", False), ("1.10.0", True), ("1.14.2", True), ("2.0.0", False)])
def test_terraform_of_another_version(
    cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, good: bool
) -> None:
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    row = row_of(stack, "terraform")
    assert (row.good, row.seen) == (good, version)
    assert "install terraform, 1.10 or newer" in row.fix


def test_packages_missing(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(installation.MODULES, "aws", ("boto3", "no_such_package"))
    row = row_of(stack, "packages")
    assert (row.good, row.seen) == (False, "missing: no_such_package")
    assert row.fix == installation.install_command("aws")


def test_a_model_that_cannot_be_deployed(cloud: Cloud, stack: Stack, tmp_path: Path) -> None:
    """It is detected before hosts are created."""
    row = row_of(stack, "model", replace(SETTINGS, model=str(tmp_path)))
    assert not row.good and "model bundle" in row.seen


def test_a_key_that_others_may_read(cloud: Cloud, stack: Stack) -> None:
    keys.key_pair(stack.ssh)
    key = stack.ssh / "id_ed25519"
    assert row_of(stack, "key").good
    key.chmod(0o644)
    row = row_of(stack, "key")
    assert not row.good
    assert row.fix == f"chmod 600 {key}"


def test_disk_full(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "DISK_MB", 10**9)
    row = row_of(stack, "disk")
    assert not row.good
    assert row.fix.startswith("free ")


def test_operator_address_that_cannot_be_found(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise PneumoError("your own public IPv4 address was not found", "set operator_cidr")

    monkeypatch.setattr(preflight, "public_address", unknown)
    assert row_of(stack, "operator address").good  # it is set
    row = row_of(stack, "operator address", replace(SETTINGS, operator_cidr=""))
    assert (row.good, row.fix) == (False, "set operator_cidr")
