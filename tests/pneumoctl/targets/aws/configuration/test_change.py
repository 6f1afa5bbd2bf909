"""Commands that configure hosts start stopped services, so they do nothing beside a terraform that was left."""

import fcntl
import json
from dataclasses import replace
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


@pytest.mark.parametrize("verb", ["configure", "configure nginx", "deploy web", "rollback api", "secrets rotate"])
def test_only_up_ends_a_shared_login(tmp_path: Path, verb: str) -> None:
    earlier = replace(DESIRED, shared_login=True)
    with pytest.raises(PneumoError, match="its users share one login") as refused:
        change._refuse_before_users(Stack("t", tmp_path), earlier, change.Task(verb))
    assert refused.value.hint.startswith("pneumoctl up,")
    change._refuse_before_users(Stack("t", tmp_path), earlier, change.Task("up"))
    change._refuse_before_users(Stack("t", tmp_path), DESIRED, change.Task(verb))


def test_the_plan_says_that_a_shared_login_ends() -> None:
    assert change.ended_login(DESIRED) == []
    (line,) = change.ended_login(replace(DESIRED, shared_login=True))
    assert "nobody can use the page until they have a user of their own" in line and "pneumoctl users add" in line
