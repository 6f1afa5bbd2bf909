"""The stack's terraform: formatting, assertions with a mocked provider, and checkov."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.stack.inventory import PORTS
from pneumoctl.stack.settings import Settings

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "terraform"
SKIPS = 4  # at most, each with its reason beside it


@pytest.mark.parametrize("folder", [SOURCES, HERE], ids=["stack", "tests"])
def test_is_formatted(terraform: Callable[..., Any], folder: Path) -> None:
    checked = terraform("fmt", "-check", "-diff", "-recursive", folder)
    assert checked.returncode == 0, checked.stdout


def test_is_valid(terraform: Callable[..., Any]) -> None:
    checked = json.loads(terraform("validate", "-json").stdout)
    assert (checked["valid"], checked["error_count"], checked["warning_count"]) == (True, 0, 0), checked["diagnostics"]


def test_assertions_on_the_evaluated_configuration_hold(terraform: Callable[..., Any]) -> None:
    wanted = len(re.findall(r'^run "', (HERE / "stack.tftest.hcl").read_text(), re.M))
    tested = terraform("test", "-no-color")
    assert f"Success! {wanted} passed, 0 failed." in tested.stdout, tested.stdout + tested.stderr


def test_the_tool_and_terraform_agree(evaluate: Callable[[str], Any]) -> None:
    assert evaluate("local.ports") == PORTS
    shared = ("web_count", "app_count", "nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type", "bucket")
    assert evaluate(f"[{', '.join(f'var.{name}' for name in shared)}]") == [getattr(Settings(), one) for one in shared]


def test_every_resource_is_tagged_with_its_address() -> None:
    untagged = {  # they belong to something that is tagged, or cannot be
        *("terraform_data", "aws_route_table_association", "aws_iam_role_policy"),
        *(f"aws_s3_bucket_{part}" for part in ("ownership_controls", "public_access_block", "versioning", "policy")),
        *("aws_s3_bucket_server_side_encryption_configuration", "aws_s3_bucket_lifecycle_configuration"),
    }
    text = "\n".join(file.read_text() for file in SOURCES.glob("*.tf"))
    blocks = re.findall(r'^resource "(\w+)" "(\w+)" {\n(.*?)^}', text, re.M | re.S)
    assert len(blocks) >= 30
    for kind, name, body in blocks:
        address = f'"pneumoctl:address" = "{kind}.{name}{":${each.key}" if "for_each" in body else ""}"'
        assert (address in re.sub(r" +=", " =", body)) != (kind in untagged), f"{kind}.{name}"
        assert not re.search(r"^ *count *=", body, re.M), f"{kind}.{name}: for_each gives addresses that last"


def checkov(folder: Path) -> dict[str, Any]:
    """Checkov's report on a folder; the test is skipped without checkov (CHECKOV names it, else it is on the PATH)."""
    program = os.environ.get("CHECKOV") or shutil.which("checkov")
    if not program:
        pytest.skip("checkov is not installed: `make test` installs it, or CHECKOV names it")
    asked = ["--directory", str(folder), "--framework", "terraform", "--output", "json", "--skip-download"]
    result = subprocess.run([program, *asked], text=True, capture_output=True)
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def faults(report: dict[str, Any]) -> list[str]:
    """The problems in a report. Checkov itself accepts files that it cannot read."""
    summary, skipped = report["summary"], report["results"]["skipped_checks"]
    return [
        *(f"cannot be read: {file}" for file in report["results"]["parsing_errors"]),
        *(f"{one['check_id']} {one['resource']}" for one in report["results"]["failed_checks"]),
        *(["too few resources"] if summary["resource_count"] < 40 else []),
        *(["too few checks"] if summary["passed"] < 85 else []),
        *(["too many skips"] if len(skipped) > SKIPS else []),
        *(f"no reason: {one['check_id']}" for one in skipped if len(one["check_result"]["suppress_comment"]) < 20),
    ]


def test_checkov_finds_nothing() -> None:
    assert faults(checkov(SOURCES)) == []


def test_checkov_would_find_something(tmp_path: Path) -> None:
    shutil.copytree(SOURCES, tmp_path, dirs_exist_ok=True)
    for name, good, bad in (("hosts.tf", "encrypted   = true", "encrypted   = false"), ("guard.tf", "{", "{{")):
        broken = (tmp_path / name).read_text().replace(good, bad, 1)
        (tmp_path / name).write_text(broken)
    failures = faults(checkov(tmp_path))
    assert "CKV_AWS_8 aws_instance.host" in failures
    assert any(fault.startswith("cannot be read: ") for fault in failures)
