"""The steps that copy, switch and keep releases on hosts."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Code, Model
from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.steps import Copy, Link, Put
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED
from tests.pneumoctl.hosts.plan_contents import named, titles


def test_releases_are_switched_one_host_after_another_starting_with_the_api() -> None:
    plan = configure.plan(replace(DESIRED, current_links=CURRENT_LINKS))
    order = [title for title in titles(plan) if title.startswith(("Serve", "Drain"))]

    assert order == [
        "Serve the API on app-0",
        "Serve the API on app-1",
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
        "Drain web-1 at the front door",
        "Serve the web page on web-1",
    ]
    assert "Configure Redis" in titles(plan) and named(plan, order[0]).after == (named(plan, "Configure Redis").id,)
    assert all(named(plan, before).id in named(plan, title).after for before, title in itertools.pairwise(order))
    assert all(named(plan, title).gate for title in order if title.startswith("Serve"))


def test_on_new_hosts_only_the_page_waits_for_the_api() -> None:
    plan = configure.plan(DESIRED)
    steps = [named(plan, f"Serve the API on app-{number}") for number in range(2)]
    apis = tuple(step.id for step in steps)

    assert [step.after for step in steps] == [(named(plan, "Configure Redis").id,)] * 2
    assert [named(plan, f"Serve the web page on web-{number}").after for number in range(2)] == [apis] * 2


def test_a_serving_web_host_is_drained_switched_and_filled_again() -> None:
    plan = releases.plan(replace(DESIRED, current_links=CURRENT_LINKS), "web")
    shown = [title for title in titles(plan) if "web" in title and title.split()[0] in ("Drain", "Serve", "Send")]

    assert shown == [
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
        "Drain web-1 at the front door",
        "Serve the web page on web-1",
        "Send requests to all web hosts again",
    ]
    assert named(plan, "Drain web-1 at the front door").id in named(plan, "Serve the web page on web-1").after
    (down,) = (action for action in named(plan, shown[0]).actions if isinstance(action, Put))
    assert [line for line in down.content.splitlines() if "10.20.1.12:8080" in line and "down" in line]
    assert not [line for line in down.content.splitlines() if "10.20.1.13:8080" in line and "down" in line]
    assert named(plan, shown[-1]).after_any_outcome == tuple(
        named(plan, f"Serve the web page on web-{number}").id for number in range(2)
    )


def test_a_new_web_host_is_not_drained() -> None:
    assert not [title for title in titles(configure.plan(DESIRED)) if title.startswith("Drain")]


def test_a_new_web_host_serves_before_an_older_one_is_drained() -> None:
    only = {name: links for name, links in CURRENT_LINKS.items() if name != "web-1"}
    plan = releases.plan(replace(DESIRED, current_links=only), "web")
    shown = [title for title in titles(plan) if "web" in title and title.split()[0] in ("Drain", "Serve")]

    assert shown == [
        "Serve the web page on web-1",
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
    ]
    assert named(plan, "Serve the web page on web-1").id in named(plan, "Drain web-0 at the front door").after


@pytest.mark.parametrize(("there", "good"), [(("r2", "a", "b", "c", "d"), True), (("a", "b", "c", "d", "e"), False)])
def test_a_release_that_is_not_there_yet_counts_among_those_that_are_kept(
    tmp_path: Path, there: tuple[str, ...], good: bool
) -> None:
    probe = named(configure.plan(DESIRED), "Remove old releases on web-0").done_if[0]
    for name in there:
        (tmp_path / "web/releases" / name).mkdir(parents=True)
    argv = [word.replace(ROOT, str(tmp_path)) for word in probe.argv]

    assert (subprocess.run(argv).returncode == 0) == good


def test_a_switch_remembers_the_release_for_a_rollback() -> None:
    step = named(configure.plan(replace(DESIRED, current_links=CURRENT_LINKS)), "Serve the API on app-0")
    links = {action.path: action.target for action in step.actions if isinstance(action, Link)}

    assert links == {
        f"{ROOT}/api/previous": "releases/r1",
        f"{ROOT}/api/current": "releases/r2",
        f"{ROOT}/model/previous": "releases/m-1",
        f"{ROOT}/model/current": "releases/m-2",
    }


def test_the_stamp_does_not_depend_on_the_previous_release() -> None:
    serving_now = {
        "app-0": {"api/current": "releases/r2", "model/current": "releases/m-2", "api/previous": "releases/r1"}
    }
    first = named(configure.plan(DESIRED), "Serve the API on app-0")
    again = named(configure.plan(replace(DESIRED, current_links=serving_now)), "Serve the API on app-0")

    assert first.done_if == again.done_if


@pytest.mark.parametrize(
    ("kind", "hosts"), [("api", {"app-0", "app-1"}), ("web", {"web-0", "web-1"}), ("model", {"app-0", "app-1"})]
)
def test_a_deploy_of_one_kind_changes_its_hosts_only(kind: str, hosts: set[str]) -> None:
    plan = releases.plan(DESIRED, kind)

    assert {name for step in plan.steps for name in step.hosts} == hosts


def test_an_existing_release_is_not_copied() -> None:
    existing = dict.fromkeys(DESIRED.releases, Code("r1"))
    plan = configure.plan(replace(DESIRED, releases=existing, models={"app-0": Model("m-1"), "app-1": Model("m-1")}))

    assert not [action for step in plan.steps for action in step.actions if isinstance(action, Copy)]
