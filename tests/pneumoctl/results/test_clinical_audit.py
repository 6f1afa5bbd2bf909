"""`audit --clinical` and `audit --verify` on a stack with a trail: filters, damage, and exit codes."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from pneumoctl.cli import audit
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import clinical_trail
from pneumoctl.scoring.api_client import Endpoint
from tests.pneumoctl.results.conftest import StackWithStore
from tests.pneumoctl.results.test_clinical_trail import VIEW
from tests.webapp.servers import RedisServer
from webapp.api.storage.keys import TRAIL
from webapp.documents import ActName

REVIEW = replace(VIEW, act="review", actor="bob", subject="1" * 32)


@pytest.fixture
def made(stack_of: Callable[..., StackWithStore], monkeypatch: pytest.MonkeyPatch) -> StackWithStore:
    """A stack in whose trail are two views by alice and a review by bob."""
    stack = stack_of()
    for act in (VIEW, VIEW, REVIEW):
        stack.store.trail.append(act)

    def trail(after: int, limit: int, chain: str = "") -> Any:
        return {"entries": stack.store.trail.page(after, limit, chain), "next": None}

    monkeypatch.setenv("PNEUMO_STACK", "t")
    reached = SimpleNamespace(api=lambda: nullcontext(Endpoint("http://127.0.0.1:1", "token")))
    monkeypatch.setattr(audit, "target", lambda *_: reached)
    monkeypatch.setattr(audit, "ApiClient", lambda *_, **__: SimpleNamespace(trail=trail))
    return stack


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """The exit code and the document of a command."""
    code = run(["audit", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ((), [1, 2, 3]),
        (("--last", "1"), [3]),
        (("--last", "0"), [1, 2, 3]),
        (("--actor", "alice"), [1, 2]),
        (("--act", "review"), [3]),
        (("--subject", "1" * 32), [3]),
        (("--actor", "alice", "--act", "review"), []),
        (("--since", "2020-01-01"), [1, 2, 3]),
        (("--since", "2999-01-01T08:00"), []),
    ],
)
def test_the_filters_leave_what_was_asked_for(
    made: StackWithStore, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], numbers: list[int]
) -> None:
    code, document = answer(capsys, "--clinical", *words)
    assert (code, [each["n"] for each in document["acts"]]) == (0, numbers)


def test_a_damaged_entry_is_shown_as_such_whatever_is_filtered(
    made: StackWithStore, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client = server.client()
    client.hset(TRAIL, "2", client.hget(TRAIL, "2").replace(b"alice", b"carol"))
    code, document = answer(capsys, "--clinical", "--actor", "bob")
    assert (code, [each["n"] for each in document["acts"]]) == (Exit.PARTLY, [2, 3])
    assert document["acts"][0] == {"n": 2, "damaged": True}
    assert run(["audit", "--clinical"]) == Exit.PARTLY
    assert "damaged: not as it was recorded" in capsys.readouterr().out
    code, document = answer(capsys, "--verify")
    assert code == Exit.FAILED and "entry 2: changed after it was written" in json.dumps(document)


def test_a_whole_trail_is_verified_with_the_record_of_changes(
    made: StackWithStore, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = answer(capsys, "--verify")
    assert code == 0 and (document["trail"]["entries"], document["trail"]["n"]) == (3, 3)


def test_the_acts_are_those_of_the_api() -> None:
    assert get_args(ActName) == clinical_trail.ACTS


@pytest.mark.parametrize(
    "words", [("--clinical", "--since", "yesterday"), ("--clinical", "--act", "veiw"), ("--actor", "alice")]
)
def test_what_cannot_be_meant_is_a_usage_error(made: StackWithStore, words: tuple[str, ...]) -> None:
    assert run(["audit", *words]) == Exit.USAGE


def test_a_trail_that_cannot_be_read_is_not_called_verified(
    made: StackWithStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreached(*_: object, **__: object) -> Any:
        raise PneumoError("the API does not answer", "pneumoctl status")

    monkeypatch.setattr(audit, "ApiClient", unreached)
    code, document = answer(capsys, "--verify")
    assert code == Exit.FAILED and "trail" not in document
