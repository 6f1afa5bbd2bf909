"""A terraform configuration without a provider, and a stack that uses it."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pneumoctl.aws.terraform import runner
from pneumoctl.aws.terraform.runner import Progress, Terraform
from tests import needs

VERSIONS = 'terraform {\n  required_version = ">= 1.10, < 2.0"\n}\n'
# Each resource takes `seconds` to create. `fails`: a resource whose creation fails, after all others.
THINGS = """
variable "region" { type = string }
variable "names" { type = list(string) }
variable "seconds" { default = 0 }
variable "fails" { default = [] }

resource "terraform_data" "thing" {
  for_each = toset(var.names)
  input    = each.key
  provisioner "local-exec" { command = "sleep ${var.seconds}; echo made ${each.key}" }
}

resource "terraform_data" "bad" {
  for_each   = toset(var.fails)
  depends_on = [terraform_data.thing]
  provisioner "local-exec" { command = "echo ${each.key} >&2; exit 3" }
}

output "things" { value = { for key, one in terraform_data.thing : key => one.id } }
"""


@dataclass
class Tiny:
    """A stack's terraform with the configuration above in place of the real one."""

    source: Path
    terraform: Terraform
    heard: list[Progress] = field(default_factory=list)

    def prepare(self, *names: str, state_bucket: str = "", **variables: object) -> None:
        values = {"region": "eu-west-1", "names": list(names), **variables}
        self.terraform.prepare(values, state_bucket, "eu-west-1", "t", self.heard.append)

    def apply(self) -> None:
        self.terraform.apply(self.terraform.plan(), self.heard.append)

    def addresses(self) -> list[str]:
        return [resource.address for resource in self.terraform.resources()]

    def notes(self) -> str:
        return "\n".join(event.text for event in self.heard if event.event == "note")

    @property
    def log(self) -> str:
        return self.terraform.log.read_text()


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str] | None = None) -> Tiny:
    if shutil.which("terraform") is None:
        pytest.skip(needs.TERRAFORM)
    source = folder / "source"
    source.mkdir()
    (source / "versions.tf").write_text(VERSIONS)
    (source / "things.tf").write_text(THINGS)
    monkeypatch.setattr(runner, "bundled", lambda name: source)
    variables = {**os.environ, "TF_CLI_CONFIG_FILE": str(folder / "missing.tfrc"), **(environment or {})}
    return Tiny(
        source, Terraform(folder / "stack" / "terraform", variables, folder / "stack" / "logs" / "terraform.log")
    )
