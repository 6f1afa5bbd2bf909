"""A real terraform with its real AWS provider against the lab's API, for a small configuration of a test."""

import os
import shutil
from pathlib import Path

import pytest

from pneumoctl.aws.terraform import runner
from pneumoctl.aws.terraform.runner import Terraform
from tests import needs
from tests.lab.api.client import Api
from tests.lab.machine.home import CONFIGURATION, plugin_mirror


def with_provider(api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch, configuration: str) -> Terraform:
    """Terraform for a configuration; the test is skipped without terraform or a mirror of its provider."""
    mirror = plugin_mirror()
    if shutil.which("terraform") is None or mirror is None:
        pytest.skip(needs.PROVIDER if shutil.which("terraform") else needs.TERRAFORM)
    (folder / "source").mkdir()
    (folder / "source" / "main.tf").write_text(configuration)
    (folder / "terraformrc").write_text(CONFIGURATION.format(mirror=mirror))
    ours = {
        "AWS_ENDPOINT_URL": api.url,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "eu-west-1",
        "TF_CLI_CONFIG_FILE": str(folder / "terraformrc"),
        "GOGC": "400",  # a quarter less CPU time
    }
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runner, "bundled", lambda name: folder / "source")
    return Terraform(folder / "stack" / "terraform", dict(os.environ), folder / "stack" / "log")
