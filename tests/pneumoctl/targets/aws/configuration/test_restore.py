"""After a failed health gate, hosts that were switched serve the releases before; the outcome has the right code."""

from dataclasses import replace
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts.desired import Code, Model
from pneumoctl.hosts.layout import OPERATOR
from pneumoctl.plan import rollout
from pneumoctl.plan.rollout import Result
from pneumoctl.plan.steps import Step
from pneumoctl.targets.aws.configuration import restore
from pneumoctl.targets.common import health
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED
from tests.pneumoctl.targets.aws.configuration.simulated_deploy import (
    DEPLOYED,
    FAILS,
    LINKS,
    OLD,
    SWITCHED,
    Front,
    OnHost,
    Run,
)


def test_without_a_failure_nothing_is_restored(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS)
    assert run.serving() == SWITCHED and run.restored == restore.Restored()


def test_releases_that_fail_the_proof_are_taken_back_and_the_proof_is_repeated(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, proofs=1)
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "the page answered 500" in error.message and "app-0 serves api r1 and model m-1 again" in error.message
    assert error.message.endswith("the test prediction passes with these releases")


def test_a_later_rollback_returns_to_what_it_would_have_returned_to(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, proofs=1)
    assert {run.hosts[name].links["api/previous"] for name in ("app-0", "app-1")} == {"releases/r0"}


def test_a_cause_that_is_not_the_release_is_told_from_it(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, proofs=2)
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert error.message.count("the page answered 500") == 2 and "passes" not in error.message


def test_a_host_that_was_switched_before_another_failed_is_switched_back(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, app_1=("Serve the API on app-1", True))
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "app-0 serves api r1" in error.message and "app-1 serves" not in error.message
    titles = [one for one in error.details["changed"] if "Serve" in one]  # type: ignore[attr-defined]
    assert titles == ["app-0: Serve the API on app-0"] * 2  # there and back


def test_hosts_that_serve_different_releases_are_partly_done(tmp_path: Path) -> None:
    """app-0 was switched, and cannot be switched back."""
    run = Run(tmp_path, LINKS, proofs=1)
    switched = run.hosts["app-0"].links | {"api/current": "releases/r2", "model/current": "releases/m-2"}
    run.hosts["app-0"] = OnHost(switched, "Serve the API on app-0", False)
    run.restore({**run.hosts, OPERATOR: Front(0)})
    error = run.error()
    assert error.code == Exit.PARTLY and "app-0 does not serve api r1 and model m-1 again" in error.message
    assert "passes" not in error.message


def test_at_the_first_up_there_is_no_release_to_return_to(tmp_path: Path) -> None:
    run = Run(tmp_path, {name: {} for name in LINKS}, proofs=1)
    error = run.error()
    assert run.serving() == SWITCHED and error.code == Exit.GATE_FAILED
    assert error.message.endswith("app-0, app-1, web-0, web-1 served nothing before: the new release stays there")


def test_a_new_host_beside_restored_ones_is_partly_done(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS | {"app-1": {}}, proofs=1)
    error = run.error()
    assert error.code == Exit.PARTLY and "app-1 served nothing before: the new release stays there" in error.message
    assert run.serving()["api"] == {"r1", "r2"}


def test_a_new_configuration_is_no_new_release(tmp_path: Path) -> None:
    served = {
        name: {**links, **{link: target.replace("1", "2") for link, target in links.items()}}
        for name, links in CURRENT_LINKS.items()
    }
    desired = replace(DESIRED, current_links=served)
    done = [("app-0", Step("Serve the API on app-0", ("app-0",), (), id="serve app-0"))]
    failure = rollout.Failure("app-1", done[0][1], health.failed("not ready"))
    assert restore.switched(desired, Result(done=done, failures=[failure])) == []


def test_hosts_that_serve_different_releases_are_named(tmp_path: Path) -> None:
    """They did so before the command, which failed on its first host and changed nothing."""
    links = LINKS | {"app-1": LINKS["app-1"] | {"api/current": "releases/r0"}}
    error = Run(tmp_path, links, app_0=FAILS).error()
    assert error.code == Exit.PARTLY
    assert "hosts serve different releases of api: r1 on app-0; r0 on app-1" in error.message


def test_a_release_that_the_command_does_not_change_is_left_as_it_is(tmp_path: Path) -> None:
    """A deploy of the web page: each API host keeps what it serves, also where they differ."""
    kept = {"app-0": Code("r2"), "app-1": Code("r1")}
    models = {"app-0": Model("m-2"), "app-1": Model("m-1")}
    desired = replace(DESIRED, releases={**DESIRED.releases, **kept}, models=models)
    run = Run(tmp_path, LINKS | {"app-0": DEPLOYED}, proofs=1, desired=desired)
    assert run.error().code == Exit.GATE_FAILED
    assert run.hosts["app-0"].links == DEPLOYED and run.serving()["web"] == {"r1"}


def test_a_proof_that_cannot_be_made_takes_nothing_back_and_finds_nothing(tmp_path: Path) -> None:
    unknown = PneumoError("which model the API on app-0 runs is not known")
    run = Run(tmp_path, LINKS, proof_error=unknown, proofs=1)
    assert run.serving() == SWITCHED and run.error().code == Exit.PARTLY
    run = Run(tmp_path, LINKS, proofs=1)
    run.restore({**run.hosts, OPERATOR: Front(1, unknown)})
    assert "the test prediction could not be made with these releases: which model" in run.error().message
