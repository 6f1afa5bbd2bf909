"""Commands that configure hosts start stopped services, so they do nothing beside a terraform that was left."""

import fcntl
import json
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import releases
from pneumoctl.hosts.steps import active
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import change
from tests.pneumoctl.examples import DESIRED


@pytest.mark.parametrize("verb", ["configure", "deploy web", "rollback api"])
def test_no_upload_is_taken_that_a_terraform_which_was_left_may_destroy(tmp_path: Path, verb: str) -> None:
    stack = Stack("t", tmp_path)
    runs = Terraform(stack.terraform, {}, stack.layout.logs)._runs
    runs.output.parent.mkdir(parents=True)
    runs.record.write_text(json.dumps({"pid": 12, "command": "terraform apply", "since": ""}))
    with runs.output.open("w") as output:
        fcntl.flock(output, fcntl.LOCK_EX)  # as the process of terraform holds it
        with pytest.raises(PneumoError, match=r"terraform apply \(process 12\), left by a command") as refused:
            change.change(Settings(target="aws"), stack, change.Task(verb), True, CommandRecord(stack, verb, {}))
    assert refused.value.code == Exit.LOCKED and refused.value.hint.startswith("pneumoctl up")


@pytest.mark.parametrize("kind", ["api", "web", "model"])
def test_stopped_services_are_started_by_every_command_that_switches_or_configures_their_host(kind: str) -> None:
    steps = [step for step in releases.plan(DESIRED, kind).steps if step.id.startswith("serve ")]
    assert steps
    for step in steps:
        unit = "pneumoctl-ui" if kind == "web" else "pneumoctl-api"
        assert active(f"{unit}.service") in step.done_if
