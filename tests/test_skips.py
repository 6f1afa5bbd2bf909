"""A skipped test says in one line what is missing and how to get it; in CI it fails instead."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs

ROOT = Path(__file__).parents[1]
REAL = "tests/model/data/test_dataset.py"  # two of its tests use real X-rays
TERRAFORM = "tests/terraform/test_terraform.py"


def run(tests: str, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tests, *words]
    return subprocess.run(command, cwd=ROOT, env={**bare, **settings}, capture_output=True, text=True)


@pytest.mark.parametrize("ci", [{}, {"PNEUMO_NO_SKIPS": "1"}], ids=["a user", "CI"])
def test_real_x_rays_may_be_missing(ci: dict[str, str]) -> None:
    result = run(REAL, "-m", "data", **ci)

    assert result.returncode == 0, result.stdout
    assert f"skipped 2: {needs.DATA}\n" in result.stdout


def test_a_skip_says_in_one_line_how_to_install_what_is_missing() -> None:
    result = run(TERRAFORM, "-k", "valid", PATH="/nonexistent")

    assert result.returncode == 0, result.stdout
    assert result.stdout.count(needs.TERRAFORM) == 1


def test_nothing_else_may_be_missing_in_ci() -> None:
    result = run(TERRAFORM, "-k", "valid", PATH="/nonexistent", PNEUMO_NO_SKIPS="1")

    assert result.returncode == 1 and "skipped where nothing may be" in result.stdout
