"""The release that a rollback switches to, also when it is run again."""

from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import rollback

GOOD, BAD = "releases/good", "releases/bad"
ON_BAD = {"api/current": BAD, "api/previous": GOOD}
ON_GOOD = {"api/current": GOOD, "api/previous": BAD}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("s", tmp_path)


def test_a_rollback_and_a_second_one_switch_between_two_releases(stack: Stack) -> None:
    for current_links, wanted in (({"app-0": ON_BAD, "app-1": ON_BAD}, "good"), ({"app-0": ON_GOOD}, "bad")):
        assert rollback.release(stack, current_links, "api") == wanted
        with rollback.remembered(stack, current_links, (), "api"):
            pass


def test_after_a_partial_deploy_the_previous_release_is_taken_from_the_other_hosts(stack: Stack) -> None:
    half = {"app-0": ON_BAD, "app-1": {"api/current": GOOD, "api/previous": "releases/older"}}

    assert rollback.release(stack, half, "api") == "good"


def test_an_interrupted_rollback_is_resumed(stack: Stack) -> None:
    with pytest.raises(KeyboardInterrupt), rollback.remembered(stack, {"app-0": ON_BAD, "app-1": ON_BAD}, (), "api"):
        raise KeyboardInterrupt
    half = {"app-0": ON_GOOD, "app-1": ON_BAD}

    assert rollback.release(stack, half, "api") == "good"
    with rollback.remembered(stack, half, (), "api"):
        pass
    assert rollback.release(stack, {"app-0": ON_GOOD, "app-1": ON_GOOD}, "api") == "bad"


def test_a_deploy_or_a_missing_release_ends_a_rollback(stack: Stack) -> None:
    with pytest.raises(KeyboardInterrupt), rollback.remembered(stack, {"app-0": ON_BAD}, (), "api"):
        raise KeyboardInterrupt
    elsewhere = {"app-0": {"api/current": "releases/new", "api/previous": "releases/newer"}}
    assert rollback.release(stack, elsewhere, "api") == "newer"
    with rollback.remembered(stack, {"app-0": ON_GOOD}, ("api",), ""):
        pass
    assert rollback.release(stack, {"app-0": ON_GOOD}, "api") == "bad"


def test_a_rollback_without_a_previous_release_is_refused(stack: Stack) -> None:
    with pytest.raises(PneumoError, match="no previous release of web"):
        rollback.release(stack, {"web-0": {"web/current": GOOD}}, "web")
    with pytest.raises(PneumoError, match="no previous release of web"):
        rollback.release(stack, {"web-0": {"web/current": GOOD, "web/previous": GOOD}}, "web")


def test_a_rollback_to_a_release_that_a_later_host_never_had_is_refused(stack: Stack) -> None:
    links = {"app-0": ON_BAD, "app-1": {"api/current": BAD}, "nginx": {}}
    with pytest.raises(PneumoError, match="app-1 never had good") as refused:
        rollback.release(stack, links, "api")
    assert "pneumoctl deploy api --source" in (refused.value.hint or "")
    assert rollback.release(stack, links | {"app-1": {"api/current": GOOD}}, "api") == "good"
