"""The stack's lock: exclusive, names its holder, dies with it."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import lock

HOLD = """
import sys, time
from pathlib import Path
from pneumoctl.stack import lock
with lock.held(Path(sys.argv[1]), "up"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_names_the_holder_and_a_killed_holder_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PneumoError) as caught, lock.held(path, "teardown"):
            pass
        assert caught.value.code == Exit.LOCKED
        assert f"pneumoctl up (process {holder.pid}, since 2" in caught.value.message
        assert caught.value.details["holder"]["pid"] == holder.pid
        assert (lock.holder(path) or {})["pid"] == holder.pid
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert path.exists() and lock.holder(path) is None  # a killed process leaves the file
    with lock.held(path, "up"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_lock_can_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "s.lock"
    assert lock.holder(path) is None and not path.exists()
    with lock.held(path, "up"):
        assert (lock.holder(path) or {})["command"] == "up"
        path.write_text('["no", "holder"]')
        assert lock.holder(path) == {}


def test_a_look_at_a_lock_keeps_nobody_from_taking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    lock.fcntl.flock(looking, lock.fcntl.LOCK_SH)
    monkeypatch.setattr(lock.time, "sleep", lambda _: os.close(looking))  # the look ends meanwhile
    with lock.held(path, "up"):
        assert (lock.holder(path) or {})["command"] == "up"


def test_the_file_of_a_released_lock_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "s.lock"
    with lock.held(path, "up"):
        assert path.exists()
    assert not path.exists()
    with pytest.raises(ValueError), lock.held(path, "up"):
        raise ValueError
    assert not path.exists()


def test_an_unreadable_lock_file_still_reports_locked(tmp_path: Path) -> None:
    path = tmp_path / "s.lock"
    with lock.held(path, "up"):
        path.write_text("{")
        with pytest.raises(PneumoError, match="another pneumoctl"), lock.held(path, "up"):
            pass


def test_the_file_may_be_removed_by_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "s.lock"
    with lock.held(path, "teardown"):
        path.unlink()
    with lock.held(path, "up"), pytest.raises(PneumoError), lock.held(path, "up"):
        pass


def test_a_lock_is_waited_for_and_its_file_removed(tmp_path: Path) -> None:
    path, order, asks = tmp_path / "s.lock", [], threading.Event()

    def second() -> None:
        asks.set()
        with lock.waited_for(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with lock.waited_for(path):
        thread.start()
        assert asks.wait(60)
        thread.join(0.2)  # time to take a lock that is not held
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert not path.exists()


@pytest.mark.parametrize("call", [1, 2])
def test_a_file_that_vanishes_at_any_time_is_no_error(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls, stat = tmp_path / "s.lock", 0, Path.stat

    def vanish(self: Path, **options: bool) -> os.stat_result:
        nonlocal calls
        calls += self == path
        if self == path and calls == call:
            path.unlink()
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", vanish)
    handles = len(list(Path("/dev/fd").iterdir()))
    with lock.held(path, "up"):
        pass
    assert calls >= 2 and not path.exists() and len(list(Path("/dev/fd").iterdir())) == handles


def test_a_holder_does_not_remove_the_file_of_the_next_holder(tmp_path: Path) -> None:
    """Removed by hand, the file of the first holder is replaced by that of the second; no third one gets the lock."""
    path = tmp_path / "s.lock"
    with ExitStack() as first:
        first.enter_context(lock.held(path, "up"))
        path.unlink()
        with lock.held(path, "teardown"):
            first.close()
            with pytest.raises(PneumoError, match="locked by pneumoctl teardown"), lock.held(path, "train"):
                pass
    assert not path.exists()


def test_the_holder_is_named_although_its_file_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flock = tmp_path / "s.lock", lock.fcntl.flock
    with lock.held(path, "up"):
        monkeypatch.setattr(lock.fcntl, "flock", lambda *arguments: (path.unlink(missing_ok=True), flock(*arguments)))
        with pytest.raises(PneumoError, match="locked by pneumoctl up"), lock.held(path, "teardown"):
            pass


def test_a_file_that_cannot_be_removed_hides_no_error_and_holds_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.lock"

    def refuse(_: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(ValueError, match="of the command"), lock.held(path, "up"):
            raise ValueError("of the command")
    with lock.held(path, "teardown"):
        assert json.loads(path.read_text())["command"] == "teardown"


def test_the_error_names_what_is_locked_and_the_next_command(tmp_path: Path) -> None:
    path = tmp_path / "s.gpu.lock"
    with (
        lock.held(path, "train --gpu"),
        pytest.raises(PneumoError) as caught,
        lock.held(path, "train --gpu", "the GPU host", "or end it: pneumoctl runs cancel"),
    ):
        pass
    assert caught.value.message.startswith("the GPU host is locked by pneumoctl train --gpu (process ")
    assert caught.value.hint == "wait for it to end, then run this again; or end it: pneumoctl runs cancel"
