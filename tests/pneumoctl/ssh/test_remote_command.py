"""Commands as root over a real SSH server."""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pneumoctl.plan.transport import Output
from pneumoctl.ssh import remote_command
from pneumoctl.ssh.connections import Connections
from tests.pneumoctl.sshd import Farm, on_loopback

Run = Callable[..., Output]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as started:
        yield started


@pytest.fixture(scope="module")
def run(farm: Farm) -> Iterator[Run]:
    with Connections(farm.inventory, farm.directory) as connections:

        def on_host(*argv: str, timeout: float = 20) -> Output:
            return remote_command.run(connections, farm.host("web-0"), argv, timeout)

        yield on_host


def test_the_command_line_keeps_every_word() -> None:
    line = remote_command.as_root(("echo", "a b", "'", "$HOME", "*", "\n"), 5)
    assert line.startswith("sudo -n -- timeout -k 5 5 echo ")
    result = subprocess.run(["sh", "-c", line.replace("sudo -n -- ", "")], capture_output=True, text=True, check=True)
    assert result.stdout == "a b ' $HOME * \n\n"


def test_run_returns_exit_code_and_both_streams(run: Run) -> None:
    result = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.code, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_run_survives_a_missing_program_a_killed_command_and_bytes_that_are_not_utf8(run: Run) -> None:
    assert run("no-such-program", timeout=60).code == 127
    assert run("printf", r"\377").stdout == "\ufffd"
    assert run("sh", "-c", "kill -9 $$").code not in {0, 124}


def test_standard_input_is_empty(run: Run) -> None:
    result = run("cat", timeout=60)
    assert (result.code, result.stdout) == (0, "")


def test_a_command_that_does_not_end_is_ended_on_the_host_and_its_output_is_returned(run: Run) -> None:
    scripts = ("echo said; exec sleep 31.4159", "trap '' TERM; echo said; while :; do sleep 0.2; done")
    with ThreadPoolExecutor(2) as pool:
        late, stubborn = pool.map(lambda script: run("sh", "-c", script, timeout=1), scripts)
    assert (late.code, late.stdout) == (124, "said\n") and "sh: did not end within 1 s" in late.stderr
    assert (stubborn.code, stubborn.stdout) == (124, "said\n")
    assert run("pgrep", "-f", "^sleep 31.4159").code == 1


def test_a_child_process_that_holds_the_output_open_does_not_block(run: Run) -> None:
    began = time.monotonic()
    result = run("sh", "-c", "setsid sleep 20 & echo started", timeout=30)
    assert (result.code, result.stdout) == (0, "started\n") and time.monotonic() - began < 15


def test_large_output_on_both_streams_at_once_is_complete(run: Run) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' o & head -c 3000000 /dev/zero | tr '\\0' e >&2; wait"
    result = run("sh", "-c", script, timeout=60)
    assert (len(result.stdout), len(result.stderr)) == (3_000_000, 3_000_000)
