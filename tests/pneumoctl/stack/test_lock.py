"""The stack's lock: exclusive, names its holder, dies with it."""

import json
import os
import signal
import subprocess
import sys
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
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with lock.held(path, "up"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


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
