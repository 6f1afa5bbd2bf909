"""Whatever prevents the proof that a GPU host is off is exit code 7, with the commands that stop it otherwise."""

import errno
import os

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu.stop import confirming
from pneumoctl.stack.settings import Settings

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PneumoError("AWS denies it"), "AWS denies it"),
        (OSError(errno.ENOSPC, FULL, "/a/audit.jsonl"), f"/a/audit.jsonl: {FULL}"),
        (OSError(errno.ENOSPC, FULL), FULL),
        (TimeoutError(), "it did not answer in time"),
        (KeyError("State"), "unexpected error in pneumoctl, please report it (KeyError: 'State')"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(143), "interrupted"),
    ],
)
def test_what_prevents_the_proof_is_exit_7(error: BaseException, words: str) -> None:
    with pytest.raises(PneumoError) as raised, confirming(Settings(region="eu-west-1", profile="p"), "t"):
        raise error
    assert raised.value.code == Exit.GPU_NOT_STOPPED and raised.value.__cause__ is error
    assert raised.value.message == f"the GPU host of stack t is not confirmed stopped and may be billing: {words}"
    assert "aws ec2 stop-instances --region eu-west-1 --profile p" in raised.value.hint


@pytest.mark.parametrize("code", [Exit.USAGE, Exit.LOCKED])
def test_a_command_that_has_not_begun_keeps_its_error(code: Exit) -> None:
    error = PneumoError("used by a run", "wait", code)
    with pytest.raises(PneumoError) as raised, confirming(Settings(), "t"):
        raise error
    assert raised.value is error
