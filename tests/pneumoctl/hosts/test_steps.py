"""The shell functions of steps, run with stand-ins for the commands that they call."""

import os
import subprocess
from pathlib import Path

import pytest

from pneumoctl.hosts.steps import APT_UPDATE

LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)"


def update(folder: Path, *failures: str) -> "subprocess.CompletedProcess[str]":
    """Run the update; apt-get fails with each of these messages, then succeeds. No sleep takes time."""
    for number, message in enumerate(failures):
        (folder / f"failure-{number}").write_text(message)
    apt = f"""#!/bin/sh
echo "$*" >>{folder}/calls
for failure in {folder}/failure-*; do test -e "$failure" && cat "$failure" >&2 && rm "$failure" && exit 100; done
exit 0
"""
    for name, script in (("apt-get", apt), ("sleep", "#!/bin/sh\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["sh", "-euc", f'{APT_UPDATE}\nupdate "$@"', "sh", "-o", "a=b c"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_an_update_waits_for_the_lock_of_the_lists(tmp_path: Path) -> None:
    done = update(tmp_path, LOCKED, LOCKED)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "calls").read_text() == "-q -o a=b c update\n" * 3


@pytest.mark.parametrize("failure", ["E: Failed to fetch http://x", ""])
def test_another_failure_is_reported_immediately(tmp_path: Path, failure: str) -> None:
    done = update(tmp_path, failure)
    assert (done.returncode, done.stderr) == (100, f"{failure}\n")
    assert (tmp_path / "calls").read_text().count("update") == 1
