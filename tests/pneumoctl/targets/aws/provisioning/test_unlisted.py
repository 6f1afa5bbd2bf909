"""A state that does not list what the stack has in AWS: refused, imported after a kill, or taken over on request."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws.leftovers import Remaining
from pneumoctl.aws.terraform.state import Resource
from pneumoctl.aws.terraform.working_dir import WorkingCopy, s3
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import unlisted
from tests.pneumoctl.examples import aws_context

HOSTS = [Remaining("instance", f"i-{number}", f'aws_instance.host["app-{number}"]', "") for number in range(7)]
OLDER = [Resource('aws_instance.host["app-0"]', "aws_instance", "i-gone", {})]
SAME = [Resource(host.address, "aws_instance", host.id, {}) for host in HOSTS]


@dataclass
class State:
    """A terraform with these resources in its state."""

    listed: list[Resource]
    suspect: bool = False
    outdated: bool = False
    directory: Path = Path("/nonexistent")

    def resources(self) -> list[Resource]:
        return self.listed


@pytest.fixture
def recovered(monkeypatch: pytest.MonkeyPatch) -> list[list[Remaining]]:
    calls: list[list[Remaining]] = []
    monkeypatch.setattr(unlisted.recovery, "recover", lambda terraform, aws, existing, report: calls.append(existing))
    return calls


def context(state: State) -> Context:
    made = aws_context(None)
    object.__setattr__(made, "terraform", state)
    return made


@pytest.mark.parametrize("recover", ["check", "killed"])
@pytest.mark.parametrize(("listed", "why"), [(OLDER, "it is older than the stack"), ([], "it was lost")])
def test_a_stack_that_the_state_does_not_list_is_refused_with_what_was_found(
    recovered: list[Any], listed: list[Resource], why: str, recover: Any
) -> None:
    with pytest.raises(PneumoError, match="does not list 7 resources that stack t has in eu-west-1") as caught:
        unlisted.settle(context(State(listed)), lambda: HOSTS, recover, lambda _: None)
    assert why in caught.value.message and "and 2 more" in caught.value.message
    assert len(caught.value.details["unlisted"]) == 7 and recovered == []
    assert "pneumoctl up --adopt" in caught.value.hint and "teardown" not in caught.value.hint


def test_what_the_state_lists_is_left_alone(recovered: list[Any]) -> None:
    for recover in ("check", "killed", "all"):
        unlisted.settle(context(State(SAME)), lambda: HOSTS, recover, lambda _: None)
    assert recovered == []


def test_after_a_kill_up_imports_it_and_a_plan_only_warns(recovered: list[Any]) -> None:
    unlisted.settle(context(State(OLDER, suspect=True)), lambda: HOSTS, "check", lambda _: None)
    assert recovered == []
    unlisted.settle(context(State(OLDER, suspect=True)), lambda: HOSTS, "killed", lambda _: None)
    assert recovered == [HOSTS]


def test_a_plan_beside_a_running_terraform_does_not_miss_what_that_makes(recovered: list[Any]) -> None:
    unlisted.settle(context(State([], outdated=True)), lambda: HOSTS, "check", lambda _: None)
    assert recovered == []


class Bucket:
    """The bucket of a state; `held`: the lock of that state lies in it."""

    def __init__(self, held: bool) -> None:
        self.held = held

    def call(self, service: str, operation: str, **named: str) -> None:
        assert (service, operation) == ("s3", "head_object")
        assert named == {"Bucket": "states", "Key": "pneumoctl/eu-west-1/t/terraform.tfstate.tflock"}
        if not self.held:
            raise PneumoError("no such object", aws_code="404")


@pytest.mark.parametrize(("recover", "held", "refused"), [("check", 1, 0), ("check", 0, 1), ("killed", 1, 1)])
def test_a_plan_beside_a_terraform_of_another_machine_only_warns(
    tmp_path: Path, recover: Any, held: int, refused: int, capsys: pytest.CaptureFixture[str]
) -> None:
    WorkingCopy(tmp_path).note_initialised(s3("states", "eu-west-1", "t"))
    made = context(State(OLDER, directory=tmp_path))
    object.__setattr__(made, "aws", Bucket(bool(held)))
    with pytest.raises(PneumoError, match="does not list") if refused else nullcontext():
        unlisted.settle(made, lambda: HOSTS, recover, lambda _: None)
    assert ("another machine is changing the stack" in capsys.readouterr().err) is not bool(refused)


def test_a_denied_search_ends_what_would_make_something_and_not_a_plan(
    recovered: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def denied() -> list[Remaining]:
        raise PneumoError("AWS denies iam:ListRoles to these credentials")

    unlisted.settle(context(State(SAME)), denied, "check", lambda _: None)
    assert "is not known: AWS denies iam:ListRoles" in capsys.readouterr().err
    for recover in ("killed", "all"):
        with pytest.raises(PneumoError, match="ListRoles"):
            unlisted.settle(context(State(SAME)), denied, recover, lambda _: None)


def test_a_teardown_and_up_with_adopt_import_everything(recovered: list[Any]) -> None:
    unlisted.settle(context(State(OLDER)), lambda: HOSTS, "all", lambda _: None)
    assert recovered == [HOSTS]


@pytest.mark.parametrize(
    "words",
    [("up", "--adopt"), ("up", "--lose-results"), ("up", "--offline-bundle", "."), ("teardown", "--end-training")],
    ids=" ".join,
)
def test_options_for_aws_are_refused_for_a_stack_on_this_machine(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for target in ((), ("--target", "local")):
        assert run([*words, "-y", *target, "--json"]) == Exit.USAGE
        message = json.loads(capsys.readouterr().out)["error"]["message"]
        assert message.startswith(f"{words[1]} is for stacks on aws: default runs on this machine (target local)")
    assert list(tmp_path.iterdir()) == []


def test_an_offline_bundle_for_a_stack_that_is_here_is_no_reason_to_name_another_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    arguments = ["up", "-y", "--offline-bundle", ".", "--json"]
    assert run(arguments) == Exit.USAGE
    hint = "pneumoctl up, or: pneumoctl up --target aws --offline-bundle DIRECTORY"
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == hint
    monkeypatch.setattr(Stack, "target", "local")
    assert run(arguments) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == "pneumoctl up"
