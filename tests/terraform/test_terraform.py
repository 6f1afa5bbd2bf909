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
RESOURCES = 43  # at least: 40 of the stack and 3 that are broken
SKIPS = 5  # at most, each with its reason beside it


@pytest.mark.parametrize("folder", [SOURCES, HERE], ids=["stack", "tests"])
def test_is_formatted(terraform: Callable[..., Any], folder: Path) -> None:
    checked = terraform("fmt", "-check", "-diff", "-recursive", folder)
    assert checked.returncode == 0, checked.stdout


def test_is_valid_and_assertions_on_the_evaluated_configuration_hold(terraform: Callable[..., Any]) -> None:
    """`terraform test` validates the configuration first, and shows the warnings of that."""
    wanted = len(re.findall(r'^run "', (HERE / "stack.tftest.hcl").read_text(), re.M))
    tested = terraform("test", "-no-color", attach=True)
    assert f"Success! {wanted} passed, 0 failed." in tested.stdout, tested.stdout + tested.stderr
    assert "Warning" not in tested.stdout + tested.stderr, tested.stdout + tested.stderr


def test_the_tool_and_terraform_agree(evaluated: dict[str, Any]) -> None:
    assert evaluated["ports"] == PORTS
    defaults = evaluated["defaults"]
    assert defaults == {name: getattr(Settings(), name) for name in defaults}


def test_every_resource_is_tagged_with_its_address() -> None:
    untagged = {  # they belong to something that is tagged, or cannot be
        *("terraform_data", "aws_route_table_association", "aws_iam_role_policy", "aws_scheduler_schedule"),
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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Checkov's report on the stack in `stack`, and on two files of it with mistakes in `broken`.

    The test is skipped without checkov (CHECKOV names it, else it is on the PATH).
    """
    program = os.environ.get("CHECKOV") or shutil.which("checkov")
    if not program:
        pytest.skip("checkov is not installed: `make test` installs it, or CHECKOV names it")
    folder = tmp_path_factory.mktemp("checked")
    shutil.copytree(SOURCES, folder / "stack", ignore=shutil.ignore_patterns(".*"))
    (folder / "broken").mkdir()
    for name, good, bad in (("hosts.tf", "encrypted   = true", "encrypted   = false"), ("guard.tf", "{", "{{")):
        (folder / "broken" / name).write_text((SOURCES / name).read_text().replace(good, bad, 1))
    asked = ["--directory", str(folder), "--framework", "terraform", "--output", "json", "--skip-download"]
    result = subprocess.run([program, *asked], text=True, capture_output=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def faults(report: dict[str, Any], folder: str) -> list[str]:
    """The problems in a folder of the report. Checkov itself accepts files that it cannot read."""
    results = report["results"]
    passed, failed, skipped = (
        [check for check in results[f"{kind}_checks"] if check["file_path"].startswith(f"/{folder}/")]
        for kind in ("passed", "failed", "skipped")
    )
    return [
        *(f"cannot be read: {file}" for file in results["parsing_errors"] if Path(file).parent.name == folder),
        *(f"{check['check_id']} {check['resource']}" for check in failed),
        *(["too few resources"] if report["summary"]["resource_count"] < RESOURCES else []),
        *(["too few checks"] if len(passed) < 85 else []),
        *(["too many skips"] if len(skipped) > SKIPS else []),
        *(
            f"no reason: {check['check_id']}"
            for check in skipped
            if len(check["check_result"]["suppress_comment"]) < 20
        ),
    ]


def test_checkov_finds_nothing(report: dict[str, Any]) -> None:
    assert faults(report, "stack") == []


def test_checkov_would_find_something(report: dict[str, Any]) -> None:
    found = faults(report, "broken")
    assert "CKV_AWS_8 aws_instance.host" in found
    assert any(fault.startswith("cannot be read: ") for fault in found)
