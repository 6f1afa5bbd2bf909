"""A working copy of the stack's terraform, initialised once, and the boot script as each host gets it."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.lab.machine.home import CONFIGURATION, plugin_mirror

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "terraform"
Terraform = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack's terraform with its tests, where terraform may write."""
    return shutil.copytree(SOURCES, tmp_path_factory.mktemp("stack") / "terraform", ignore=shutil.ignore_patterns(".*"))


@pytest.fixture(scope="session")
def terraform(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Runs terraform in the working copy; the test is skipped without terraform or its AWS provider."""
    if not shutil.which("terraform"):
        pytest.skip(needs.TERRAFORM)
    without_credentials = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    environment = {**without_credentials, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    if mirror := plugin_mirror():
        configuration = tmp_path_factory.mktemp("configuration") / "terraformrc"
        configuration.write_text(CONFIGURATION.format(mirror=mirror))
        environment["TF_CLI_CONFIG_FILE"] = str(configuration)

    def run(*arguments: str | Path, text: str = "") -> "subprocess.CompletedProcess[str]":
        command = ["terraform", *arguments]
        return subprocess.run(command, cwd=copied, env=environment, input=text, text=True, capture_output=True)

    (copied / "tests").mkdir()
    shutil.copy(HERE / "stack.tftest.hcl", copied / "tests")
    ready = run("init", "-input=false", "-no-color")
    if ready.returncode and not mirror:
        pytest.skip(needs.PROVIDER)
    assert ready.returncode == 0, ready.stderr
    return run


@pytest.fixture(scope="session")
def evaluate(terraform: Terraform) -> Callable[[str], Any]:
    """The value of an expression in the stack's terraform, before anything is made."""
    wanted = "stack=demo", "region=eu-west-1", "operator_cidr=203.0.113.7/32", "public_key=ssh-ed25519 AAAA"

    @functools.cache
    def value(expression: str) -> Any:
        options = [f"-var={one}" for one in wanted]
        asked = terraform("console", *options, text=f"jsonencode({expression})\n")
        assert asked.returncode == 0, asked.stderr
        return json.loads(json.loads(asked.stdout))

    return value
