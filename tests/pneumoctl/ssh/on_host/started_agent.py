"""The agent as a host runs it, as a process that tests send requests to."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pneumoctl.ssh import host_program
from pneumoctl.ssh.on_host.frames import ANSWER, ASK, Reader, frame
from tests.pneumoctl import agent_process
from tests.pneumoctl.ssh.on_host.step_requests import document, put, run, taken


def started(host: Path, *requests: dict[str, Any], after: str = "") -> "subprocess.Popen[bytes]":
    """The agent as a host runs it, by a Python without our packages; its client is gone once it has asked.

    `after`: a statement that follows the last answer.
    """
    child = opened(host, after)
    for number, request in enumerate(requests, 1):
        ask(child, number, request)
    assert child.stdin
    child.stdin.close()
    child.stdin = None
    return child


def opened(host: Path, after: str = "") -> "subprocess.Popen[bytes]":
    """The agent, which waits for requests."""
    child = subprocess.Popen(agent_process.argv(host, after), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=host)
    assert child.stdin
    child.stdin.write(host_program.archive())
    return child


def ask(child: "subprocess.Popen[bytes]", number: int, request: dict[str, Any]) -> None:
    assert child.stdin
    child.stdin.write(frame(ASK, number, json.dumps({"limit": 600} | request).encode()))
    child.stdin.flush()


def frames(child: "subprocess.Popen[bytes]") -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What the agent says, as it arrives."""
    reader = Reader()
    assert child.stdout
    while data := os.read(child.stdout.fileno(), 1 << 16):
        for kind, number, contents in reader.feed(data):
            yield kind, number, json.loads(contents)
    child.stdout.close()
    child.wait(600)


def answer(child: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """The only answer of an agent that then ends."""
    (only,) = (document for kind, _, document in frames(child) if kind == ANSWER)
    return only


def slow(host: Path, title: str = "slow") -> dict[str, Any]:
    """A step that runs until the file `release` exists."""
    script = f"touch {host}/begun; until test -e {host}/release; do sleep 0.05; done"
    actions = [put(host / "etc/conf", "new"), run("sh", "-c", script, timeout=120)]
    step = document(title=title, actions=actions)
    return {"op": "act", "run": "r", "holder": "us", "token": taken("us")["token"], "step": step}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
