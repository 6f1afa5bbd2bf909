"""The exit code of a plan on aws: changes in AWS, repairs there, changes on the hosts, and hosts that do not answer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from pneumoctl.aws import prices
from pneumoctl.aws.ec2 import Instance
from pneumoctl.aws.prices import Prices
from pneumoctl.aws.terraform.plan_json import Change, Planned
from pneumoctl.errors import Exit
from pneumoctl.hosts import configure
from pneumoctl.plan.steps import Step
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import plan, up
from pneumoctl.targets.aws.configuration import desired
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import store_loss
from tests.pneumoctl.examples import DESIRED, aws_context

SETTINGS = Settings(stack="t", target="aws", region="eu-west-1")
FRONT_DOOR = "Configure the front door"
RULE = {
    "GroupId": "sg-1",
    "SecurityGroupRuleId": "sgr-1",
    "IsEgress": False,
    "IpProtocol": "tcp",
    "CidrIpv4": "0.0.0.0/0",
}
WEB = Instance("i-12", "web-0", "web", "stopped", "t3.small", datetime(2026, 1, 1, tzinfo=UTC), "", "")


class Agents:
    """Agents on whose hosts the steps with these titles are pending."""

    def __init__(self, *pending: str) -> None:
        self.titles = pending

    def pending(self, _: object, steps: Sequence[Step]) -> list[bool]:
        return [step.title in self.titles for step in steps]

    def read_output(self, host: Host, *_: object) -> str:
        return "nginx\n" if f"{host.name} shares its login" in self.titles else ""

    def read(self, _: object, paths: Sequence[str]) -> list[str | None]:
        return ["changed by hand" for _ in paths]


Planning = Callable[..., tuple[dict[str, Any], Exit, str]]


@pytest.fixture
def planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planning:
    """Plan a stack whose AWS, terraform and hosts are given: returns the document, the exit code and the text."""
    stack = Stack("t", tmp_path / "t")
    stack.make()
    stack.save_hosts(DESIRED.inventory)
    monkeypatch.setattr(plan, "prepared", lambda *_: nullcontext(replace(aws_context(None), stack=stack)))
    monkeypatch.setattr(prices, "current", lambda *_: Prices("eu-west-1", "2026-01-19", "bundled price list", {}))
    monkeypatch.setattr(store_loss, "lines", lambda *_: [])
    monkeypatch.setattr(desired, "available_releases", lambda *_: None)
    monkeypatch.setattr(desired, "current_links", lambda hosts: {host.name: {} for host in hosts.inventory.hosts})
    monkeypatch.setattr(desired, "desired_state", lambda *given: replace(DESIRED, shared_login=given[4]))

    def report(
        changes: Sequence[Change] = (),
        pending: Sequence[str] = (),
        silent: Sequence[str] = (),
        rules: Sequence[dict[str, Any]] = (),
        stopped: Sequence[Instance] = (),
        command: Callable[[Settings, Stack], Any] = plan.report,
    ) -> tuple[dict[str, Any], Exit, str]:
        @contextmanager
        def opened(_: Stack, only: Sequence[str], change: bool) -> Iterator[ssh_hosts.Hosts]:
            assert not change  # no lease is taken
            hosts = {host.name: host for host in DESIRED.inventory.hosts if host.name in only}
            away = {name: Unreachable(host, "connecting", "silence") for name, host in hosts.items() if name in silent}
            if len(away) == len(hosts):
                raise next(iter(away.values()))
            answering = tuple(host for name, host in hosts.items() if name not in away)
            agents = cast(Any, Agents(*pending))
            yield ssh_hosts.Hosts(replace(DESIRED.inventory, hosts=answering), agents, away)

        monkeypatch.setattr(ssh_hosts, "opened", opened)
        monkeypatch.setattr(provision, "plan", lambda _: Planned(tuple(changes), (), Path("p"), not changes))
        monkeypatch.setattr(provision, "foreign_rules", lambda _: list(rules))
        monkeypatch.setattr(provision, "stopped_hosts", lambda _: list(stopped))
        made = command(SETTINGS, stack)
        return made.document, made.code, "\n".join(str(block) for block in made.blocks)

    return report


def test_a_stack_that_is_as_planned_has_nothing_to_do(planning: Planning) -> None:
    document, code, text = planning()
    assert code == Exit.DONE and document["hosts"] == {"changes": [], "erased": [], "differences": [], "unknown": {}}
    assert "AWS is as planned" in text and "the hosts are in their desired state" in text


def test_the_end_of_a_login_that_all_share_is_told(planning: Planning) -> None:
    _, _, text = planning(pending=[FRONT_DOOR, "nginx shares its login"])
    assert "nobody can use the page until they have a user of their own" in text
    assert "user of their own" not in planning(pending=[FRONT_DOOR])[2]


def test_a_difference_on_a_host_is_a_change(planning: Planning) -> None:
    document, code, text = planning(pending=[FRONT_DOOR])
    assert code == Exit.CHANGES
    assert document["hosts"]["changes"] == [{"host": "nginx", "step": FRONT_DOOR}]
    assert f"+ {FRONT_DOOR} on nginx" in text and "-changed by hand" in text


def test_a_dry_run_of_up_shows_the_hosts_too(planning: Planning) -> None:
    def dry_run(settings: Settings, stack: Stack) -> Any:
        return up.up(settings, stack, agreed=False, dry_run=True)

    document, code, text = planning(pending=[FRONT_DOOR], command=dry_run)
    assert code == Exit.DONE and document["hosts"]["changes"] and f"+ {FRONT_DOOR} on nginx" in text


@pytest.mark.parametrize("silent", [["web-0"], [host.name for host in DESIRED.inventory.hosts]], ids=["one", "all"])
def test_hosts_that_do_not_answer_are_not_taken_for_unchanged(planning: Planning, silent: list[str]) -> None:
    document, code, text = planning(silent=silent)
    assert code == Exit.FAILED and set(document["hosts"]["unknown"]) == {silent[0]}
    assert f"what would change on {silent[0]} is not known: {silent[0]} (10.20.1." in text
    assert "desired state" not in text
    assert planning(silent=["web-0"], pending=[FRONT_DOOR])[1] == Exit.CHANGES


def test_what_up_repairs_beside_terraform_is_a_change(planning: Planning) -> None:
    document, code, text = planning(rules=[RULE], stopped=[WEB], silent=["web-0"])
    assert code == Exit.CHANGES and len(document["repairs"]) == 2
    assert "rule that pneumoctl did not make in sg-1: sgr-1" in text
    assert "start web-0, which was stopped outside pneumoctl" in text
    assert document["hosts"]["unknown"] == {}  # a stopped host is not asked


def test_a_change_in_aws_hides_no_change_on_the_hosts_that_stay(planning: Planning) -> None:
    addresses = {"app-0": "replace", "web-2": "create", "train": "create", "web-1": "delete"}
    changes = [
        Change(f'aws_instance.host["{name}"]', "aws_instance", cast(Any, action), {}, {})
        for name, action in addresses.items()
    ]
    document, code, text = planning(changes, pending=[FRONT_DOOR, "Configure Redis"], silent=["app-0", "web-1"])
    assert code == Exit.CHANGES and document["hosts"]["unknown"] == {}
    assert document["new_hosts"] == ["app-0", "web-2"] and "web-2 is new: it gets everything" in text
    assert document["hosts"]["changes"] == [{"host": "nginx", "step": FRONT_DOOR}]


def test_before_the_first_up_no_host_is_asked(planning: Planning, tmp_path: Path) -> None:
    (tmp_path / "t" / "inventory.json").unlink()
    new = Change('aws_instance.host["nginx"]', "aws_instance", "create", {}, {})
    document, code, text = planning([new], silent=["nginx"])
    assert document["new_hosts"] == [] and "is new" not in text  # all of them are
    assert code == Exit.CHANGES and document["hosts"] == {"changes": [], "erased": [], "differences": [], "unknown": {}}


def test_the_example_has_the_steps_that_these_tests_name() -> None:
    assert {FRONT_DOOR, "Configure Redis"} <= {step.title for step in configure.plan(DESIRED).steps}
