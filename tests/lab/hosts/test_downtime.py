"""Deploys and rollbacks while the web page is used: no request fails."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.hosts import releases
from tests.lab.hosts.releases import BROKEN, CRASHES, NO_CHANGE
from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import Operator

Release = Callable[[Path], tuple[str, ...]]


@pytest.fixture(params=["two of the API, one of the page", *(pytest.param(n, marks=pytest.mark.repeat) for n in "12")])
def sized_stack(operator: Operator, request: pytest.FixtureRequest) -> Operator:
    """The stack as it is, or with this number of API and web hosts each."""
    counts = {f"PNEUMO_{role}_COUNT": request.param for role in ("APP", "WEB")} if request.param in "12" else {}
    if not counts.items() <= operator.settings.items():
        operator.settings |= counts
        with Traffic(operator):
            operator.run("up", "-y")
    return operator


def test_an_up_that_was_interrupted_is_resumed_without_orphans_and_duplicates(first_up: FirstUp) -> None:
    assert first_up.interrupted
    assert first_up.differences == ""


def test_a_stack_grows_while_it_serves(first_up: FirstUp) -> None:
    print(first_up.traffic.summary())
    first_up.traffic.check()


def code_release(kind: str, change: str) -> Release:
    def deploy_command(folder: Path) -> tuple[str, ...]:
        mark = str(time.time_ns())  # so that it serves nowhere yet
        return ("deploy", kind, "-y", "--source", str(releases.checkout(folder / "source", kind, change, mark)))

    return deploy_command


def model_release(score_offset: float) -> Release:
    def deploy_command(folder: Path) -> tuple[str, ...]:
        bundle = releases.renamed_model(folder / "bundle", f"other{time.time_ns()}", score_offset)
        return ("deploy", "model", "-y", "--bundle", str(bundle))

    return deploy_command


def running_releases(operator: Operator) -> dict[str, dict[str, str]]:
    hosts = json.loads((operator.directory / "inventory.json").read_text())["hosts"]
    return {
        host["name"]: releases.running_releases(operator.lab, host["name"])
        for host in hosts
        if host["role"] in ("app", "web")
    }


GOOD = {"api": code_release("api", NO_CHANGE), "web": code_release("web", NO_CHANGE), "model": model_release(0)}
BAD = {
    "api, unfit": code_release("api", BROKEN),
    "api, ends when it serves": code_release("api", CRASHES),
    "web, unfit": code_release("web", BROKEN),
    "web, ends when it serves": code_release("web", CRASHES),
    "model, out of its band": model_release(0.3),
}
ALWAYS_RUN = ("api", "api, ends when it serves", "model, out of its band")


def usual_or_repeat(cases: Iterable[str]) -> list[object]:
    return [case if case in ALWAYS_RUN else pytest.param(case, marks=pytest.mark.repeat) for case in cases]


@pytest.mark.parametrize("kind", usual_or_repeat(GOOD))
def test_a_good_release_and_its_rollback_lose_no_request(sized_stack: Operator, tmp_path: Path, kind: str) -> None:
    before = running_releases(sized_stack)
    with Traffic(sized_stack) as traffic:
        sized_stack.run(*GOOD[kind](tmp_path))
        after = running_releases(sized_stack)
        began = time.monotonic()
        sized_stack.run("rollback", kind, "-y")
        seconds = time.monotonic() - began
    print(f"{kind}: rolled back in {seconds:.1f} s; {traffic.summary()}")

    changed = {host for host in before if after[host] != before[host]}
    assert changed == {host for host in before if host.startswith("web" if kind == "web" else "app")}
    assert running_releases(sized_stack) == before


@pytest.mark.parametrize("case", usual_or_repeat(BAD))
def test_a_bad_release_is_taken_back_and_loses_no_request(sized_stack: Operator, tmp_path: Path, case: str) -> None:
    before = running_releases(sized_stack)
    with Traffic(sized_stack) as traffic:
        failed = sized_stack.run(*BAD[case](tmp_path), code=10)
    print(f"{case}: {traffic.summary()}")

    assert "next: " in failed.stderr and ("app-0" in failed.stderr or "web-0" in failed.stderr)
    assert running_releases(sized_stack) == before
