"""Processes and ports of a stack: found by their marker, stopped, and verified as stopped."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pneumoctl.targets.common import ports
from pneumoctl.targets.local import processes

LISTEN = """
import signal, socket, sys, time
if sys.argv[1] == "stubborn": signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
time.sleep(60)
"""


def start(directory: Path, kind: str = "meek") -> tuple[subprocess.Popen[str], int]:
    environment = {**os.environ, processes.MARK: str(directory)}
    child = subprocess.Popen(
        [sys.executable, "-c", LISTEN, kind], env=environment, cwd=directory, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def test_end_stops_exactly_the_marked_processes(tmp_path: Path) -> None:
    other = tmp_path.with_name(f"{tmp_path.name}-other")  # its name begins with ours
    other.mkdir()
    meek, port = start(tmp_path)
    stubborn, _ = start(tmp_path, "stubborn")
    foreign, foreign_port = start(other)
    try:
        assert {process.pid for process in processes.ours(tmp_path)} == {meek.pid, stubborn.pid}
        assert port in processes.listening(tmp_path)
        assert foreign_port not in processes.listening(tmp_path)
        left = processes.remains(tmp_path, [port])
        assert f"process {meek.pid}" in left and f"port {port}" in left
        processes.end(tmp_path, timeout=0.5)
        assert processes.remains(tmp_path, [port, foreign_port]) == []
        assert foreign.poll() is None
    finally:
        for child in (meek, stubborn, foreign):
            child.kill()
            child.wait()
            child.stdout.close()


def test_prove_fails_and_lists_remaining_processes(tmp_path: Path) -> None:
    child, port = start(tmp_path)
    command = [sys.executable, "-m", "pneumoctl.targets.local.processes"]
    try:
        proof = subprocess.run([*command, "prove", str(tmp_path), str(port)], capture_output=True, text=True)
        assert proof.returncode == 1
        assert f"process {child.pid}" in proof.stderr
        assert subprocess.run([*command, "end", str(tmp_path), str(port)]).returncode == 0
        assert child.wait(120) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_taken_port_is_moved_up_and_never_given_twice() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        moved = ports.choose(taken)
        assert taken < moved < taken + 200
        assert ports.choose(taken, [moved]) > moved
    assert ports.choose(taken) == taken


def test_no_free_port_is_an_error() -> None:
    with pytest.raises(OSError, match="no free port from 65535"):
        ports.choose(65535, [65535])
