"""After a failed step, a host that was lost or left by an interrupted deploy returns only to what the others serve."""

from pathlib import Path

import pytest

from pneumoctl.errors import Exit
from tests.pneumoctl.targets.aws.configuration.simulated_deploy import (
    DEPLOYED,
    FAILS,
    LINKS,
    OLD,
    THREE,
    THREE_LINKS,
    LostLink,
    Run,
)


def test_a_host_that_was_lost_while_it_switched_may_serve_the_release_that_was_taken_back(tmp_path: Path) -> None:
    lost = LostLink(THREE_LINKS["app-1"], answers=False)
    run = Run(tmp_path, THREE_LINKS, desired=THREE, lost=lost, app_0=FAILS)
    error = run.error()
    assert error.code == Exit.PARTLY and "what serves on app-1 is not known" in error.message
    assert "again" not in error.message and "passes" not in error.message


@pytest.mark.parametrize("switches", [True, False])
def test_a_lost_host_that_answers_again_is_switched_back_after_the_lost_step(tmp_path: Path, switches: bool) -> None:
    lost = LostLink(THREE_LINKS["app-1"], answers=True, switches=switches)
    run = Run(tmp_path, THREE_LINKS, desired=THREE, lost=lost, app_0=FAILS)
    lost.end()
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "app-1 serves api r1 and model m-1 again" in error.message


def test_a_new_host_that_was_lost_may_serve_or_not(tmp_path: Path) -> None:
    lost = LostLink({}, answers=True)
    run = Run(tmp_path, THREE_LINKS | {"app-0": {}, "app-1": {}}, desired=THREE, lost=lost, app_0=FAILS)
    error = run.error()
    assert error.code == Exit.PARTLY and "what serves on app-1 is not known" in error.message


def test_hosts_that_an_interrupted_deploy_has_switched_are_switched_back(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS | {"app-0": DEPLOYED}, app_1=("Serve the API on app-1", True))
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "app-0 serves api r1 and model m-1 again" in error.message
    assert run.hosts["app-0"].links["api/previous"] == "releases/r1"  # a rollback does not return to the failed one


def test_a_host_returns_only_to_a_release_that_the_others_serve(tmp_path: Path) -> None:
    """app-0 has the new release for long; the release before it there is not the one of app-1."""
    deployed = DEPLOYED | {"api/previous": "releases/r0", "model/previous": "releases/m-0"}
    run = Run(tmp_path, LINKS | {"app-0": deployed}, app_1=("Serve the API on app-1", True))
    error = run.error()
    assert error.code == Exit.PARTLY and deployed.items() <= run.hosts["app-0"].links.items()
    assert "hosts serve different releases of api: r2 on app-0; r1 on app-1" in error.message
