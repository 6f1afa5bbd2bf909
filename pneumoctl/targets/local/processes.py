"""Find and end the processes of a stack on this machine, and prove that they and its ports are gone."""

import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

MARK = "PNEUMO_STACK_DIR"  # this variable is set in every process that a stack starts


def ours(directory: Path) -> list[psutil.Process]:
    """The running processes of a stack, without this process and its ancestors."""
    me = psutil.Process()
    own = {me.pid, *(parent.pid for parent in me.parents())}
    running = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.pid not in own and process.environ().get(MARK) == str(directory):
                running.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # it has ended, or belongs to another user
    return running


def end(directory: Path, timeout: float = 15.0) -> None:
    """Send SIGTERM to every process of the stack, then SIGKILL. supervisord is first; it would restart the others."""
    living = ours(directory)
    living.sort(key=lambda process: "supervisord" not in " ".join(_cmdline(process)))
    for process in living:
        _signal(process, psutil.Process.terminate)
    if not _gone(directory, timeout):
        for process in ours(directory):
            _signal(process, psutil.Process.kill)
        _gone(directory, 5)


def _gone(directory: Path, timeout: float) -> bool:
    """Wait until all have ended. A zombie counts as ended: a container without an init does not reap it."""
    deadline = time.monotonic() + timeout
    while ours(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _signal(process: psutil.Process, send: object) -> None:
    try:
        send(process)  # type: ignore[operator]
    except psutil.NoSuchProcess:
        return


def listening(directory: Path) -> set[int]:
    """The ports on which the stack's processes listen."""
    ports = set()
    for process in ours(directory):
        try:
            connections: list[Any] = process.net_connections(kind="tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        ports |= {connection.laddr.port for connection in connections if _listens(connection)}
    return ports


def _listens(connection: Any) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN)


def remains(directory: Path, ports: Iterable[int]) -> list[str]:
    """The processes and ports that a stack still has, one line each; empty if there are none.

    A port counts only if its listener belongs to this stack: another program may have taken it since.
    """
    left = [f"process {process.pid}" for process in ours(directory)]
    connections: list[Any] = psutil.net_connections("tcp")
    owners = {connection.laddr.port: connection.pid for connection in connections if _listens(connection)}
    return left + [f"port {port}" for port in ports if _mentions(owners.get(port), directory)]


def _mentions(pid: int | None, directory: Path) -> bool:
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        arguments = " ".join([process.cwd(), *process.cmdline()])
    except psutil.Error:
        return False
    return re.search(re.escape(str(directory)) + r"(/|\s|$)", arguments) is not None


def main(argv: list[str]) -> int:
    """`python -m pneumoctl.targets.local.processes end|prove DIRECTORY [PORT..]`."""
    verb, directory, *ports = argv
    if verb == "end":
        end(Path(directory))
    left = remains(Path(directory), map(int, ports))
    for line in left:
        print(line, file=sys.stderr)
    return 1 if left else os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
