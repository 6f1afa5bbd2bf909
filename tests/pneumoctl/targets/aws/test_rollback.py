"""Where a rollback goes back to, and where it goes when it is run again."""

from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import rollback

GOOD, BAD = "releases/good", "releases/bad"
ON_BAD = {"api/current": BAD, "api/previous": GOOD}
ON_GOOD = {"api/current": GOOD, "api/previous": BAD}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("s", tmp_path)


def test_it_goes_back_to_what_served_before_and_then_forth_again(stack: Stack) -> None:
    for current_links, wanted in (({"app-0": ON_BAD, "app-1": ON_BAD}, "good"), ({"app-0": ON_GOOD}, "bad")):
        assert rollback.release(stack, current_links, "api") == wanted
        with rollback.remembered(stack, current_links, (), "api"):
            pass


def test_after_a_half_done_deploy_the_other_hosts_show_what_served(stack: Stack) -> None:
    half = {"app-0": ON_BAD, "app-1": {"api/current": GOOD, "api/previous": "releases/older"}}

    assert rollback.release(stack, half, "api") == "good"


def test_a_half_done_one_that_is_run_again_goes_on(stack: Stack) -> None:
    with pytest.raises(KeyboardInterrupt), rollback.remembered(stack, {"app-0": ON_BAD, "app-1": ON_BAD}, (), "api"):
        raise KeyboardInterrupt
    half = {"app-0": ON_GOOD, "app-1": ON_BAD}

    assert rollback.release(stack, half, "api") == "good"
    with rollback.remembered(stack, half, (), "api"):
        pass
    assert rollback.release(stack, {"app-0": ON_GOOD, "app-1": ON_GOOD}, "api") == "bad"


def test_a_deploy_after_it_ends_it_and_so_does_a_release_that_is_gone(stack: Stack) -> None:
    with pytest.raises(KeyboardInterrupt), rollback.remembered(stack, {"app-0": ON_BAD}, (), "api"):
        raise KeyboardInterrupt
    elsewhere = {"app-0": {"api/current": "releases/new", "api/previous": "releases/newer"}}
    assert rollback.release(stack, elsewhere, "api") == "newer"
    with rollback.remembered(stack, {"app-0": ON_GOOD}, ("api",), ""):
        pass
    assert rollback.release(stack, {"app-0": ON_GOOD}, "api") == "bad"


def test_where_nothing_served_before_it_says_so(stack: Stack) -> None:
    with pytest.raises(PneumoError, match="no previous release of web"):
        rollback.release(stack, {"web-0": {"web/current": GOOD}}, "web")
