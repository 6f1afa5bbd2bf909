"""`runs cancel`: what prevents it before it begins is exit code 7; how the run ended is not changed to that."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import audit
from pneumoctl.stack.runs import Run
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find
from pneumoctl.training import collect

RUN = Run("20261123-061500-a1b2", "t", "gpu", "2026-11-23T06:15:00Z", [], 600, 3600, instance="i-1", bucket="b")
AWS: Any = Settings(region="eu-west-1")


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(collect, "_context_of_cancelled", lambda *_: SimpleNamespace(store=None))
    monkeypatch.setattr(collect, "_cancel_and_finalize", lambda *_: None)
    return find("t")


def failing(error: Exception) -> Callable[..., AbstractContextManager[None]]:
    def fail(*_: Any, **__: Any) -> AbstractContextManager[None]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Stack, "gpu_locked"), (collect, "_context_of_cancelled"), (audit.CommandRecord, "begin")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_full_disk_before_it_begins_is_exit_7(
    owner: Any, name: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/state/t.gpu.lock")
    monkeypatch.setattr(owner, name, failing(full))
    with pytest.raises(PneumoError, match=r"may be billing: /state/t\.gpu\.lock: No space") as raised:
        collect.cancel(AWS, stack, RUN)
    assert raised.value.code == Exit.GPU_NOT_STOPPED and "aws ec2 stop-instances" in raised.value.hint


def test_a_run_that_failed_stays_exit_8(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = PneumoError("run r: failed; the GPU is off", "", Exit.TRAINING_FAILED)
    monkeypatch.setattr(collect, "fetch_and_report", failing(failed))
    with pytest.raises(PneumoError) as raised:
        collect.cancel(AWS, stack, RUN)
    assert raised.value is failed


def test_a_run_that_another_pneumoctl_follows_is_asked_to_stop(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = list[str]()
    link = SimpleNamespace(stop_run=lambda: asked.append("stop"), close=lambda: None)
    monkeypatch.setattr(collect, "_context_of_cancelled", lambda *_: SimpleNamespace(link=link))
    monkeypatch.setattr(Stack, "gpu_locked", failing(PneumoError("locked", "", Exit.LOCKED)))
    assert collect.cancel(AWS, stack, RUN) == 0
    assert asked == ["stop"] and "the pneumoctl that follows it stops the GPU" in capsys.readouterr().out
