"""A working copy of the stack's terraform, initialised once, and what its expressions evaluate to."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.attached_provider import attached
from tests.lab.machine.home import CONFIGURATION, plugin_mirror

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "terraform"
SHARED = ("web_count", "app_count", "nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type", "bucket")
HOSTS = {"nginx": '""', "web-0": '""', "train": "local.train"}
EXPRESSIONS = {
    "ports": "local.ports",
    "defaults": f"{{ {', '.join(f'{name} = var.{name}' for name in SHARED)} }}",
    **{
        name: f'templatefile("user_data/boot.sh.tftpl", {{ name = "{name}", part = {part} }})'
        for name, part in HOSTS.items()
    },
}
Terraform = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable copy of the stack's terraform configuration and its tests."""
    return shutil.copytree(SOURCES, tmp_path_factory.mktemp("stack") / "terraform", ignore=shutil.ignore_patterns(".*"))


@pytest.fixture(scope="session")
def terraform(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Runs terraform in the working copy; the test is skipped without terraform or its AWS provider.

    `attach`: with one process of the provider for all that the command does. GOGC saves a quarter of the CPU time.
    """
    if not shutil.which("terraform"):
        pytest.skip(needs.TERRAFORM)
    without_credentials = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    environment = {**without_credentials, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "GOGC": "400"}
    if mirror := plugin_mirror():
        configuration = tmp_path_factory.mktemp("configuration") / "terraformrc"
        configuration.write_text(CONFIGURATION.format(mirror=mirror))
        environment["TF_CLI_CONFIG_FILE"] = str(configuration)

    def run(*arguments: str | Path, text: str = "", attach: bool = False) -> "subprocess.CompletedProcess[str]":
        command = ["terraform", *arguments]
        with attached(copied, environment) if attach else nullcontext(environment) as variables:
            return subprocess.run(command, cwd=copied, env=variables, input=text, text=True, capture_output=True)

    (copied / "tests").mkdir()
    shutil.copy(HERE / "stack.tftest.hcl", copied / "tests")
    ready = run("init", "-input=false", "-no-color")
    if ready.returncode and not mirror:
        pytest.skip(needs.PROVIDER)
    assert ready.returncode == 0, ready.stderr
    return run


@pytest.fixture(scope="session")
def evaluated(terraform: Terraform) -> dict[str, Any]:
    """The values of EXPRESSIONS in the stack's terraform, before anything is made."""
    wanted = "stack=demo", "region=eu-west-1", "operator_cidr=203.0.113.7/32", "public_key=ssh-ed25519 AAAA"
    options = [f"-var={one}" for one in wanted]
    asked = terraform("console", *options, text=f"jsonencode([{', '.join(EXPRESSIONS.values())}])\n")
    assert asked.returncode == 0, asked.stderr
    return dict(zip(EXPRESSIONS, json.loads(json.loads(asked.stdout)), strict=True))
