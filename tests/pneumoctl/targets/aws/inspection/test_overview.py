"""The overview of a stack: a host's facts do not wait for its comparison, and a stack in the making is shown."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pneumoctl.aws.ec2 import Instance
from pneumoctl.aws.terraform.process import Runs
from pneumoctl.aws.terraform.working_dir import OURS
from pneumoctl.errors import PneumoError
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack import audit, saved
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Stack, find
from pneumoctl.targets.aws.inspection import cloud_state, host_facts, overview, status
from pneumoctl.targets.aws.inspection.cloud_state import CloudState
from pneumoctl.targets.aws.inspection.host_facts import HostFacts

BOOTED = HostFacts("ok", {"api/current": "releases/0123"}, 41, 17, {"pneumoctl-api": "active"}, ())
CLOUD = CloudState("eu-west-1")
APP = Host("app-0", "app", address="10.0.0.2", services={"api": 5000})
INVENTORY = Inventory((Host("nginx", "nginx", address="10.0.0.1"), APP))


class FakeAgents:
    """Agents that find no step pending, or fail."""

    def __init__(self, error: PneumoError | None = None) -> None:
        self.error = error

    def pending(self, *_: Any) -> list[bool]:
        if self.error:
            raise self.error
        return []


def gather_status(
    monkeypatch: pytest.MonkeyPatch, stack: Stack, agents: Any, readiness: Any = lambda *_: host_facts.Readiness()
) -> dict[str, dict[str, Any]]:
    """The rows of the hosts, by name."""
    monkeypatch.setattr(overview, "TIMEOUT_S", 60.0)
    monkeypatch.setattr(cloud_state, "ask", lambda *_: replace(CLOUD, error=PneumoError("AWS is not asked here")))
    monkeypatch.setattr(overview, "_available_releases", lambda *_: cast(Any, object()))
    monkeypatch.setattr(host_facts, "steps", lambda *_: [])
    monkeypatch.setattr(host_facts, "readiness", readiness)
    document = overview.gather_status(Settings(target="aws"), stack, INVENTORY, cast(Agents, agents))
    return {row["name"]: row for row in document["hosts"]}


@contextmanager
def terraform_runs(stack: Stack, command: str) -> Iterator[None]:
    """A terraform that runs in the stack's directory: it holds a lock on its output."""
    runs = Runs(stack.terraform / OURS)
    runs.output.parent.mkdir(parents=True)
    runs.record.write_text(json.dumps({"pid": 13, "command": command, "since": "2026-01-01T00:00:00+00:00"}))
    with runs.output.open("w") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        yield


@pytest.fixture
def stack(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return find("t")


def test_a_host_whose_pending_steps_are_not_known_is_shown_with_its_facts(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_facts, "see", lambda *_: BOOTED)
    row = gather_status(monkeypatch, stack, FakeAgents(PneumoError("connection lost")))["app-0"]
    assert (row["ssh"], row["units"], row["steps_pending"]) == ("booted", {"pneumoctl-api": "active"}, None)
    assert row["good"] and row["releases"] == {"api": "0123"}


def test_a_service_that_does_not_say_that_it_is_ready_is_not_good(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object) -> None:
        raise PneumoError("no answer within 6 s")

    monkeypatch.setattr(host_facts, "see", lambda *_: BOOTED)
    row = gather_status(monkeypatch, stack, FakeAgents(), hang)["app-0"]
    assert row["not_ready"] == {"api": "no answer within 6 s"} and row["disk_percent"] == 41 and not row["good"]


def test_a_host_that_does_not_answer_is_shown_with_the_reason(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def see(_: object, host: Host, backups: bool) -> HostFacts:
        assert backups
        if host.name == "app-0":
            raise PneumoError("connection refused")
        return BOOTED

    monkeypatch.setattr(host_facts, "see", see)
    rows = gather_status(monkeypatch, stack, FakeAgents())
    assert rows["app-0"]["ssh"] == "connection refused" and not rows["app-0"]["good"]
    assert rows["app-0"]["steps_pending"] is None
    assert rows["nginx"]["ssh"] == "booted" and rows["nginx"]["steps_pending"] == 0


def without_inventory(monkeypatch: pytest.MonkeyPatch, stack: Stack, *instances: Instance) -> dict[str, Any]:
    """The document while there is no inventory; its text is made, too."""
    monkeypatch.setattr(cloud_state, "ask", lambda *_: replace(CLOUD, instances=instances))
    document = overview.gather_status(Settings(target="aws"), stack, None, None)
    assert status.report(document).code == 1 and not document["up"]
    return document


WEB = Instance("i-9", "web-0", "web", "pending", "t3.small", datetime(2026, 1, 1, tzinfo=UTC), "", "")


def test_during_the_first_up_the_commands_that_work_are_shown(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.save_cloud(Cloud("eu-west-1", "", "123456789012", "b"))
    with stack.locked("up"), terraform_runs(stack, "terraform apply"):
        document = without_inventory(monkeypatch, stack, WEB)
    assert [command["command"] for command in document["working"]] == ["pneumoctl up", "terraform apply"]
    assert document["exists"] and document["faults"] == []


def test_a_terraform_that_a_killed_up_left_is_shown_before_anything_is_made(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.save_cloud(Cloud("eu-west-1", "", "123456789012", "b"))
    with terraform_runs(stack, "terraform apply"):
        document = without_inventory(monkeypatch, stack)
    (fault,) = document["faults"]
    assert document["exists"] and fault["where"] == "terraform" and "pneumoctl up" in fault["next"]


def test_while_the_terraform_of_a_killed_teardown_destroys_no_fault_advises_up(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` would make the stack, which costs money, again."""
    stack.save_cloud(Cloud("eu-west-1", "", "123456789012", "b"))
    audit.CommandRecord(stack, "teardown", {}).begin()
    monkeypatch.setattr(cloud_state, "ask", lambda *_: CLOUD)
    monkeypatch.setattr(host_facts, "see", lambda *_: BOOTED)
    with terraform_runs(stack, "terraform apply"):
        document = overview.gather_status(Settings(target="aws"), stack, INVENTORY, None)
    (fault,) = document["faults"]
    assert fault["next"] == "pneumoctl teardown, which waits for it and completes the teardown"


def test_a_stack_whose_services_a_command_has_stopped_is_not_up(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = replace(BOOTED, units={"pneumoctl-api": "inactive"})
    monkeypatch.setattr(host_facts, "see", lambda *_: stopped)
    monkeypatch.setattr(host_facts, "check_front_door", lambda *_: 50.0)
    running = tuple(replace(WEB, id=host.instance_id, name=host.name, state="running") for host in INVENTORY.hosts)
    with stack.locked("teardown"):
        gather_status(monkeypatch, stack, FakeAgents())
        monkeypatch.setattr(cloud_state, "ask", lambda *_: replace(CLOUD, instances=running))
        document = overview.gather_status(Settings(target="aws"), stack, INVENTORY, cast(Agents, FakeAgents()))
    assert document["faults"] == [] and not document["up"]


def test_from_another_machine_the_instances_are_shown(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    (fault,) = without_inventory(monkeypatch, stack, WEB)["faults"]
    assert "made from another machine" in fault["what"]


def test_a_teardown_that_was_killed_on_another_machine_does_not_make_it_the_stack_s_own(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = stack.directory / saved.VARIABLES
    variables.parent.mkdir(parents=True)
    variables.write_text(json.dumps({"stack": "t", "region": "eu-west-1", "bucket": "b"}))
    (stack.directory / saved.STATE).write_text("{}")
    assert stack.cloud() is not None
    (fault,) = without_inventory(monkeypatch, stack, WEB)["faults"]
    assert "made from another machine" in fault["what"]


def test_without_anything_here_an_aws_that_does_not_answer_is_an_error(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PneumoError("no answer")

    monkeypatch.setattr(cloud_state, "ask", fail)
    with pytest.raises(PneumoError, match="no answer"):
        overview.gather_status(Settings(target="aws"), stack, None, None)
    with terraform_runs(stack, "terraform apply"):
        document = overview.gather_status(Settings(target="aws", region="eu-west-1"), stack, None, None)
    assert document["aws_error"] == "no answer" and document["working"]


@pytest.mark.parametrize(("days", "error"), [(2.0, ""), (0.04, ""), (-2.0, "ended 2.0 days ago")])
def test_a_certificate_that_has_ended_is_a_fault_of_the_front_door(days: float, error: str) -> None:
    front = overview._front(Settings(target="aws"), INVENTORY, days)
    assert error in front["error"] and front["serves"] == (not error)
    assert front["next"] == ("pneumoctl configure" if error else "")


def test_a_gpu_host_about_which_aws_does_not_answer_may_be_billed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PneumoError("there are no AWS credentials", "aws configure", aws="no credentials")

    monkeypatch.setattr(cloud_state, "ask", fail)
    monkeypatch.setattr(overview, "_available_releases", lambda *_: None)
    settings = Settings(target="aws", region="eu-west-1", stack="t")
    inventory = Inventory((*INVENTORY.hosts, Host("train", "train", instance_id="i-7")))
    stack.save_hosts(inventory)
    document = overview.gather_status(settings, stack, inventory, None)
    assert document["gpu_unknown"] and status.report(document).code == 7
    assert "GPU host of stack t is not confirmed stopped and may be billing: there are no" in document["aws_error"]
    assert "aws configure; find it: aws ec2 describe-instances --region eu-west-1" in document["aws_next"]
    stack.save_hosts(INVENTORY)
    document = overview.gather_status(settings, stack, INVENTORY, None)
    assert not document["gpu_unknown"] and status.report(document).code == 1
    assert document["aws_next"] == "aws configure"
