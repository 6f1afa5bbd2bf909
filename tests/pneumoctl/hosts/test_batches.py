"""Switching by batches: never more hosts out at once than the batch says, and a failed batch is the last one."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.hosts import batches, configure, releases
from pneumoctl.hosts.desired import DesiredState
from pneumoctl.plan import rollout
from pneumoctl.plan.rollout import Result
from pneumoctl.plan.steps import Put, Step
from pneumoctl.plan.transport import Output
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.journal import Journal
from tests.pneumoctl.examples import DESIRED, MODEL, NEW, stack_of


def desired_state(batch: str, count: int, serving: int | None = None, missing: int = 0) -> DesiredState:
    """`count` hosts of each role, of which the first ones serve; the last ones do not answer."""
    numbers = {f"{role}-{number}": number for role in ("web", "app") for number in range(count)}
    names = ("nginx", "monitoring", *numbers)
    answering = [name for name, number in numbers.items() if number < count - missing]
    links = {
        name: {"web/current": "releases/r1"} if name.startswith("web") else {"api/current": "releases/r1"}
        for name in answering
        if numbers[name] < (count if serving is None else serving)
    }
    return replace(
        DESIRED,
        settings=replace(DESIRED.settings, batch=batch),
        inventory=stack_of(names),
        releases=dict.fromkeys(answering, NEW),
        models={name: MODEL for name in answering if name.startswith("app")},
        current_links={name: links.get(name, {}) for name in names},
    )


class Fleet:
    """What the hosts do, and how many are out of service at once."""

    def __init__(self, bad: Sequence[str] = ()) -> None:
        self.bad, self.changing = bad, threading.Lock()
        self.out: set[str] = set()
        self.most = 0
        self.served: list[str] = []
        self.drained: set[str] = set()  # as nginx's configuration says

    def runner(self, host: Host) -> "OneHost":
        return OneHost(host, self)


class OneHost:
    def __init__(self, host: Host, fleet: Fleet) -> None:
        self.name, self.address, self.fleet = host.name, host.address, fleet

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        return [True for _ in steps]

    def act(self, step: Step) -> tuple[str, Output]:
        fleet = self.fleet
        with fleet.changing:
            for action in step.actions:
                if isinstance(action, Put) and action.path.endswith("nginx.conf"):
                    down = [line for line in action.content.splitlines() if " down;" in line]
                    fleet.drained = {line.split()[1].partition(":")[0] for line in down}
            if not step.id.startswith("serve"):
                return "done", Output(0, "", "")
            fleet.out.add(self.name)
            fleet.most = max(fleet.most, len(fleet.out), len(fleet.drained))
            assert self.name.startswith("app") or self.address in fleet.drained
            fleet.served.append(self.name)
        failed = self.name in fleet.bad
        with fleet.changing:
            fleet.out.discard(self.name)
        return ("failed", Output(1, "", "unfit")) if failed else ("done", Output(0, "", ""))


def deploy(desired: DesiredState, kind: str, fleet: Fleet, tmp_path: Path) -> Result:
    plan = releases.plan(desired, kind)
    runners = {host.name: fleet.runner(host) for host in desired.inventory.hosts}
    todo = rollout.pending(plan, runners)
    return rollout.roll_out(plan, runners, todo, Journal(tmp_path / "journal", "test"), lambda *_: None)


def waves(desired: DesiredState, kind: str) -> list[list[str]]:
    """The hosts that are switched after the same steps."""
    waves: dict[tuple[str, ...], list[str]] = {}
    for step in releases.plan(desired, kind).steps:
        if step.id.startswith("serve"):
            waves.setdefault(step.after, []).append(step.hosts[0])
    return list(waves.values())


@pytest.mark.parametrize(
    ("batch", "total", "missing", "size"),
    [
        ("10%", 1, 0, 1),
        ("10%", 19, 0, 1),
        ("10%", 50, 0, 5),
        ("25%", 50, 0, 12),
        ("25%", 3, 0, 1),
        ("100%", 50, 0, 49),
        ("100%", 1, 0, 1),
        ("3", 50, 0, 3),
        ("50", 4, 0, 3),
        ("25%", 8, 1, 1),
        ("25%", 16, 1, 3),
        ("10%", 8, 7, 1),
    ],
)
def test_the_size_of_a_batch(batch: str, total: int, missing: int, size: int) -> None:
    assert batches.size(batch, total, missing) == size


def test_hosts_are_in_batches_of_the_size_and_in_order() -> None:
    hosts = [Host(f"web-{number}", "web") for number in range(10)]

    assert [len(batch) for batch in batches.of("40%", [], hosts, 10)] == [4, 4, 2]
    assert [host for batch in batches.of("40%", [], hosts, 10) for host in batch] == hosts


def test_new_hosts_come_first_all_together() -> None:
    assert [len(wave) for wave in waves(desired_state("25%", 16, serving=4), "web")] == [12, 4]
    assert waves(desired_state("10%", 4, serving=2), "api") == [["app-2", "app-3"], ["app-0"], ["app-1"]]


def test_a_host_that_does_not_answer_counts_as_out() -> None:
    assert [len(wave) for wave in waves(desired_state("25%", 16, missing=2), "web")] == [2] * 7


@pytest.mark.parametrize("kind", ["web", "api"])
@pytest.mark.parametrize(("batch", "count", "size"), [("10%", 4, 1), ("25%", 16, 4), ("100%", 5, 4)])
def test_never_more_hosts_are_out_than_the_batch_says(
    kind: str, batch: str, count: int, size: int, tmp_path: Path
) -> None:
    fleet = Fleet()

    result = deploy(desired_state(batch, count), kind, fleet, tmp_path)

    assert not result.failures and len(fleet.served) == count
    assert fleet.most <= size and not fleet.drained


@pytest.mark.parametrize("kind", ["web", "api"])
def test_a_failed_batch_is_the_last_and_no_host_stays_drained(kind: str, tmp_path: Path) -> None:
    role = "web" if kind == "web" else "app"
    fleet = Fleet(bad=[f"{role}-5"])

    result = deploy(desired_state("25%", 16), kind, fleet, tmp_path)

    assert [failure.host for failure in result.failures] == [f"{role}-5"]
    assert sorted(fleet.served) == sorted(f"{role}-{number}" for number in range(8))
    assert not fleet.drained
    untouched = {name for name, step in result.skipped if step.id.startswith("serve")}
    assert untouched == {f"{role}-{number}" for number in range(8, 16)}


def test_the_plan_for_one_host_does_not_grow_with_the_stack() -> None:
    def titles(count: int, name: str) -> list[str]:
        whole = desired_state("10%", count)
        here = {host: release for host, release in whole.releases.items() if host == name}
        return [step.title for step in configure.plan(replace(whole, releases=here, current_links={name: {}})).steps]

    for name in ("nginx", "monitoring", "web-1", "app-0", "app-1"):
        assert titles(50, name) == titles(2, name) != []


def test_every_host_of_a_batch_is_drained_before_any_of_it_is_switched() -> None:
    plan = releases.plan(desired_state("25%", 16), "web")
    (first, *_) = (step for step in plan.steps if step.title.startswith("Drain"))
    (config,) = (action for action in first.actions if isinstance(action, Put))

    assert first.title == "Drain web-0, web-1, web-2, web-3 at the front door"
    assert sum(" down;" in line for line in config.content.splitlines()) == 4
    switched = [step for step in plan.steps if step.id in {f"serve web-{number}" for number in range(4)}]
    assert len(switched) == 4 and all(first.id in step.after for step in switched)
