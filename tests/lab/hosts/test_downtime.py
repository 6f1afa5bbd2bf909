"""Deploys and rollbacks while the web page is used: no request fails."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.hosts import releases
from tests.lab.hosts.releases import BROKEN, CRASHES, HARMLESS
from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import Operator

Release = Callable[[Path], tuple[str, ...]]


@pytest.fixture(params=["two of the API, one of the page", *(pytest.param(n, marks=pytest.mark.repeat) for n in "12")])
def sized(operator: Operator, request: pytest.FixtureRequest) -> Operator:
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


def code(kind: str, change: str) -> Release:
    def made(folder: Path) -> tuple[str, ...]:
        mark = str(time.time_ns())  # so that it serves nowhere yet
        return ("deploy", kind, "-y", "--source", str(releases.checkout(folder / "source", kind, change, mark)))

    return made


def model(off: float) -> Release:
    def made(folder: Path) -> tuple[str, ...]:
        bundle = releases.relabelled(folder / "bundle", f"other{time.time_ns()}", off)
        return ("deploy", "model", "-y", "--bundle", str(bundle))

    return made


def served(operator: Operator) -> dict[str, dict[str, str]]:
    hosts = json.loads((operator.directory / "inventory.json").read_text())["hosts"]
    return {
        host["name"]: releases.served(operator.lab, host["name"]) for host in hosts if host["role"] in ("app", "web")
    }


GOOD = {"api": code("api", HARMLESS), "web": code("web", HARMLESS), "model": model(0)}
BAD = {
    "api, unfit": code("api", BROKEN),
    "api, ends when it serves": code("api", CRASHES),
    "web, unfit": code("web", BROKEN),
    "web, ends when it serves": code("web", CRASHES),
    "model, out of its band": model(0.3),
}
USUALLY_BAD = ("api, ends when it serves", "web, unfit", "model, out of its band")


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_release_and_its_rollback_lose_no_request(sized: Operator, tmp_path: Path, kind: str) -> None:
    before = served(sized)
    with Traffic(sized) as traffic:
        sized.run(*GOOD[kind](tmp_path))
        after = served(sized)
        began = time.monotonic()
        sized.run("rollback", kind, "-y")
        seconds = time.monotonic() - began
    print(f"{kind}: rolled back in {seconds:.1f} s; {traffic.summary()}")

    changed = {host for host in before if after[host] != before[host]}
    assert changed == {host for host in before if host.startswith("web" if kind == "web" else "app")}
    assert served(sized) == before


@pytest.mark.parametrize(
    "what", [what if what in USUALLY_BAD else pytest.param(what, marks=pytest.mark.repeat) for what in BAD]
)
def test_a_bad_release_is_taken_back_and_loses_no_request(sized: Operator, tmp_path: Path, what: str) -> None:
    before = served(sized)
    with Traffic(sized) as traffic:
        failed = sized.run(*BAD[what](tmp_path), code=10)
    print(f"{what}: {traffic.summary()}")

    assert "next: " in failed.stderr and ("app-0" in failed.stderr or "web-0" in failed.stderr)
    assert served(sized) == before
