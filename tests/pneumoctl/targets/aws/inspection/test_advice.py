"""After a killed teardown, no error advises `up`: it would make the stack, which costs money, again."""

import fcntl
import json
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.process import Runs
from pneumoctl.aws.terraform.working_dir import OURS
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Cloud, Stack, find
from pneumoctl.targets.aws.inspection import advice

UP = "your address may have changed: pneumoctl up"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stack = find("t")
    stack.save_cloud(Cloud("eu-west-1", "", "123456789012", "b"))
    return stack


def advised(stack: Stack, hint: str = UP) -> tuple[str, str]:
    error = PneumoError("nginx: no answer", hint)
    advice.name_teardown(stack, error)
    return error.message, error.hint


def test_without_a_teardown_the_advice_stays(stack: Stack) -> None:
    assert advised(stack) == ("nginx: no answer", UP)
    with stack.locked("up"):
        assert advised(stack) == ("nginx: no answer", UP)


def test_a_teardown_that_works_is_named(stack: Stack) -> None:
    audit.CommandRecord(stack, "teardown", {}).begin()
    with stack.locked("teardown"):
        message, hint = advised(stack)
    assert "; pneumoctl teardown (process " in message and hint == "pneumoctl status, until it has ended"


def test_one_that_was_killed_is_named_with_its_export(stack: Stack, tmp_path: Path) -> None:
    audit.CommandRecord(stack, "teardown", {}).begin()
    stack.write(transfer.LAST, {"path": str(tmp_path), "contents": "", "counts": {}})
    message, hint = advised(stack)
    assert message == f"nginx: no answer; a teardown was not completed; it has exported the results to {tmp_path}"
    assert hint.startswith("pneumoctl teardown, which completes it")
    assert advised(stack, "pneumoctl status") == ("nginx: no answer", "pneumoctl status")


def test_while_its_terraform_destroys_up_is_not_even_an_alternative(stack: Stack) -> None:
    audit.CommandRecord(stack, "teardown", {}).begin()
    runs = Runs(stack.terraform / OURS)
    runs.output.parent.mkdir(parents=True)
    runs.record.write_text(json.dumps({"pid": 13, "command": "terraform apply", "since": ""}))
    with runs.output.open("w") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        assert advised(stack)[1] == "pneumoctl teardown, which waits for it and completes the teardown"


def test_every_command_on_a_stack_but_up_and_teardown_gives_this_advice(stack: Stack) -> None:
    audit.CommandRecord(stack, "teardown", {}).begin()

    def configure(invocation: Invocation) -> int:
        raise PneumoError("nginx: no answer", UP)

    def up(invocation: Invocation) -> int:
        return configure(invocation)

    hints = []
    for body in (configure, up):
        with pytest.raises(PneumoError) as caught:
            on_stack(alarm=False)(body)(stack="t", config=None)
        hints.append(caught.value.hint)
    assert hints[0].startswith("pneumoctl teardown") and hints[1] == UP
