"""Secrets are made for a new stack only; for a stack with hosts they are read back, or the command refuses."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Instance
from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.plan.steps import Put, Step
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import stack_secrets
from tests.pneumoctl.examples import DESIRED, aws_context

APP = Instance("i-1", "app-0", "app", "running", "t3.medium", datetime.now(UTC), "10.20.16.20", "")
TRAIN = replace(APP, id="i-2", name="train", role="train")
HOSTS = DESIRED.inventory
SAVED = Secrets.generate()
API = f"MAC_KEY={SAVED.mac_key}\nAPI_TOKEN={SAVED.api_token}\nREDIS_PASSWORD={SAVED.redis_password}\n"


@dataclass
class Ec2:
    """An account with these instances."""

    there: tuple[Instance, ...] = ()
    region: str = "eu-west-1"

    def instances(self, stack: str) -> list[Instance]:
        return list(self.there)


def context(folder: Path, *there: Instance) -> Context:
    made = replace(aws_context(Ec2(there)), stack=Stack("t", folder / "t"))
    made.stack.make()
    return made


@pytest.fixture(params=[None, b"", b'{"redis_password": '])
def lost(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Context]:
    """A stack with an app host, whose secrets are missing, empty or cut on this machine."""
    made = context(tmp_path, APP, TRAIN)
    made.stack.save_hosts(HOSTS)
    if request.param is not None:
        (made.stack.directory / "secrets.json").write_bytes(request.param)
    yield made


@pytest.mark.parametrize("there", [(), (TRAIN,), (replace(APP, state="shutting-down"),)])
def test_a_stack_without_hosts_gets_secrets_once(tmp_path: Path, there: tuple[Instance, ...]) -> None:
    new = context(tmp_path, *there)
    stack_secrets.make_for_new_stack(new)
    made = new.stack.secrets()
    stack_secrets.make_for_new_stack(new)
    assert made and new.stack.secrets() == made


def test_a_stack_with_hosts_gets_none_and_reads_them_back(lost: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_secrets.make_for_new_stack(lost)
    assert not stack_secrets.are_here(lost.stack)
    with pytest.raises(PneumoError) as caught:
        lost.stack.require_secrets()
    assert "pneumoctl up" in caught.value.hint
    content = (lost.stack.directory / "secrets.json").exists()
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({"app-0": API}, ["app-0", "web-0"]))
    stack_secrets.read_back(lost, HOSTS)
    read = lost.stack.secrets()
    assert read and (read.mac_key, read.api_token) == (SAVED.mac_key, SAVED.api_token)
    assert (lost.stack.directory / "secrets.json.damaged").exists() == content  # what was cut is kept
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: pytest.fail("they are here"))
    stack_secrets.read_back(lost, HOSTS)


def test_without_any_on_the_hosts_up_refuses_unless_none_was_ever_configured(
    lost: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({}, ["web-0"]))
    with pytest.raises(PneumoError, match="no app host has its content") as caught:
        stack_secrets.read_back(lost, HOSTS)
    assert "pneumoctl secrets new" in caught.value.hint and not stack_secrets.are_here(lost.stack)
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({}, []))
    stack_secrets.read_back(lost, HOSTS)
    assert stack_secrets.are_here(lost.stack)


def test_new_ones_in_place_of_lost_ones_only_if_no_host_has_them(
    lost: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({"app-0": API}, ["app-0"]))
    with pytest.raises(PneumoError, match="are on app-0"):
        stack_secrets.make_instead_of_lost(lost.stack, HOSTS)
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({}, ["app-0"]))
    stack_secrets.make_instead_of_lost(lost.stack, HOSTS)
    with pytest.raises(PneumoError, match="on this machine"):
        stack_secrets.make_instead_of_lost(lost.stack, HOSTS)


@pytest.mark.parametrize(
    ("name", "action", "refused"),
    [("app-0", "delete", True), ("app-1", "replace", True), ("app-0", "update", False), ("web-0", "replace", False)],
)
def test_a_plan_that_deletes_the_only_copy_is_refused(lost: Context, name: str, action: Any, refused: bool) -> None:
    changes = [Change(f'aws_instance.host["{name}"]', "aws_instance", action, {}, {})]
    if refused:
        with pytest.raises(PneumoError, match="would delete hosts that have its content"):
            stack_secrets.refuse_loss(lost, lambda: changes)
    else:
        stack_secrets.refuse_loss(lost, lambda: changes)
    stack_secrets.save(lost.stack, SAVED)
    stack_secrets.refuse_loss(lost, lambda: changes)


@dataclass
class OnHosts:
    """The hosts of a stack, and the agent that reads the environment of the API there."""

    environment: str | None
    inventory: Inventory = HOSTS

    @property
    def agents(self) -> "OnHosts":
        return self

    def read(self, host: Host, paths: Sequence[str]) -> list[str | None]:
        assert host.role == "app"
        return [self.environment for _ in paths]


def environment(secrets: Secrets) -> str:
    lines = {"MAC_KEY": secrets.mac_key, "MAC_KEYS_PREVIOUS": ",".join(secrets.mac_keys_accepted)}
    lines |= {"API_TOKEN": secrets.api_token, "REDIS_PASSWORD": secrets.redis_password}
    return "".join(f"{name}={value}\n" for name, value in lines.items())


WRITES = Step("Configure", ("app-0",), (Put("new", stack_secrets.ENVIRONMENT, 0o600, secret=True),))
OTHER = Step("Configure", ("web-0",), (Put("new", "/etc/pneumoctl/ui.env", 0o600, secret=True),))


def test_older_secrets_than_those_of_the_hosts_are_not_installed(lost: Context) -> None:
    rotated = SAVED.start_rotation().finish_rotation()
    stack_secrets.save(lost.stack, SAVED)
    todo = {"app-0": [WRITES], "web-0": [OTHER]}
    with pytest.raises(PneumoError, match="is older than the secrets of app-0") as caught:
        stack_secrets.refuse_older(lost.stack, OnHosts(environment(rotated)), todo)
    assert "pneumoctl up --adopt" in caught.value.hint
    stack_secrets.refuse_older(lost.stack, OnHosts(environment(rotated)), {"web-0": [OTHER]})
    for same in (environment(SAVED), None, "# cut"):
        stack_secrets.refuse_older(lost.stack, OnHosts(same), todo)
    for newer in (SAVED.start_rotation(), rotated):  # as during and after `secrets rotate`
        stack_secrets.save(lost.stack, newer)
        stack_secrets.refuse_older(lost.stack, OnHosts(environment(SAVED)), todo)


def test_newer_secrets_of_the_hosts_are_taken_over_and_no_key_is_lost(
    lost: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated = SAVED.start_rotation().finish_rotation()
    only_here = replace(SAVED, mac_keys_previous=("of-long-ago",))
    stack_secrets.save(lost.stack, only_here)
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({"app-0": environment(SAVED)}, ["app-0"]))
    stack_secrets.read_back(lost, HOSTS, adopt=True)
    assert lost.stack.secrets() == only_here
    monkeypatch.setattr(stack_secrets, "_ask", lambda *_: ({"app-0": environment(rotated)}, ["app-0"]))
    stack_secrets.read_back(lost, HOSTS)
    assert lost.stack.secrets() == only_here  # only on request
    stack_secrets.read_back(lost, HOSTS, adopt=True)
    taken = lost.stack.secrets()
    assert taken and (taken.mac_key, taken.api_token) == (rotated.mac_key, rotated.api_token)
    assert set(taken.mac_keys_accepted) == {SAVED.mac_key, "of-long-ago"}


def test_what_is_saved_is_read_as_it_was(tmp_path: Path) -> None:
    stack = context(tmp_path).stack
    stack_secrets.save(stack, SAVED)
    assert json.loads((stack.directory / "secrets.json").read_text()) == json.loads(json.dumps(asdict(SAVED)))


def test_a_host_that_cannot_say_whether_it_was_configured_is_not_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a stack whose hosts are new, `up` makes new secrets, with which no stored result can be verified."""
    answers = {"test": Output(124, "", "sh: did not end within 20 s")}
    monkeypatch.setattr(Agents, "read", lambda self, host, paths: [None])
    monkeypatch.setattr(Agents, "run", lambda self, host, argv, timeout=20.0: answers["test"])
    with pytest.raises(Unreachable, match="did not end"):
        stack_secrets._ask(Stack("t", tmp_path), DESIRED.inventory)
    for said, configured in (("", False), ("yes\n", True)):
        answers["test"] = Output(0, said, "")
        assert bool(stack_secrets._ask(Stack("t", tmp_path), DESIRED.inventory)[1]) is configured
