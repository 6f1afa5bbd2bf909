"""The lease of a host: one holder at a time, older tokens are refused, and damage locks nobody out."""

import time
from pathlib import Path

import pytest

from pneumoctl.ssh.on_host import leases, steps
from tests.pneumoctl.ssh.on_host.step_requests import NO_TREES, document, put, taken


def test_there_is_one_holder_and_older_tokens_are_refused(host: Path) -> None:
    first = taken("a", seconds=0.3)
    refused = taken("b")
    assert (refused["state"], refused["by"]) == ("held", "a@here") and 0 < refused["left"] <= 0.3
    time.sleep(0.35)
    second = taken("b")
    assert second["token"] == first["token"] + 1
    assert taken("a", first["token"])["state"] == "held"
    leases.release({"token": first["token"]}, NO_TREES)  # of no effect: it is not theirs any more
    step = document(title="late", actions=[put(host / "etc/conf", "late")])
    late = {"run": "r", "holder": "a", "token": first["token"], "step": step}
    assert steps.act(late, NO_TREES) == {"state": "lost"}
    assert not (host / "etc/conf").exists()
    leases.release({"token": second["token"]}, NO_TREES)
    assert taken("c")["token"] == second["token"] + 1
    assert taken("a", first["token"])["state"] == "held"


def test_an_expired_lease_can_be_renewed_if_nobody_took_the_host(host: Path) -> None:
    first = taken("a", seconds=0.05)
    time.sleep(0.1)
    assert taken("a", first["token"]) == {"state": "granted", "token": first["token"]}


@pytest.mark.parametrize(
    "content", ["", "[]", "7", "{}", '{"until": 1e99}', '{"until": "x", "holder": "a", "who": "a"}']
)
def test_a_damaged_lease_locks_nobody_out(host: Path, content: str) -> None:
    first = taken("a")
    (host / "run/lease").write_text(content)
    assert taken("b") == {"state": "granted", "token": first["token"] + 1}


def test_the_next_command_of_the_same_stack_takes_over_at_once(host: Path) -> None:
    killed = taken("a")
    assert taken("a")["token"] == killed["token"] + 1
