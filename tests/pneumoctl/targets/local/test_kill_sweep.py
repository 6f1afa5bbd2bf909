"""SIGKILL of pneumoctl in every step of up and teardown: a rerun reaches the same state, and no result is lost."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pneumoctl.errors import Exit
from pneumoctl.targets.local import processes
from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.page_client import post, stored


def events(journal: Path) -> list[tuple[str, str]]:
    try:
        lines = journal.read_text().splitlines()
    except FileNotFoundError:  # before the first step, and once teardown has removed the directory
        return []
    return [(event["event"], event.get("step", "")) for event in map(json.loads, lines)]


def kill_in_step(operator: Operator, verb: str, title: str, delay: float) -> bool:
    """Run a verb and SIGKILL it `delay` seconds after a step has begun; False if it ended before."""
    journal = operator.directory / "journal.jsonl"
    before = len(events(journal))
    child = operator.start(verb, "-y")
    deadline = time.monotonic() + 900
    while child.poll() is None and time.monotonic() < deadline:
        if ("start", title) in events(journal)[before:]:
            time.sleep(delay)
            break
        time.sleep(0.005)
    alive = child.poll() is None
    os.kill(child.pid, signal.SIGKILL) if alive else None
    child.communicate()
    return alive


def sweep(operator: Operator, verb: str, delay: float) -> int:
    """Kill a verb in each step that is still to do, from the first to the last; how often that was."""
    tried: list[str] = []
    while title := next((title for title in titles(operator, verb) if title not in tried), None):
        if not kill_in_step(operator, verb, title, delay):
            break
        tried.append(title)
    return len(tried)


def titles(operator: Operator, verb: str) -> list[str]:
    return operator.json(verb, "--dry-run")["changes"]


def end_state(operator: Operator) -> tuple[set[str], set[str]]:
    """The services that run, and the files of the stack (names of logs and Redis's own files aside)."""
    status = operator.json("status")
    root = operator.directory
    files = {str(path.relative_to(root)) for path in root.rglob("*") if "__pycache__" not in path.parts}
    stored = {
        file
        for file in files
        if not file.startswith(("logs", "metrics/", "redis/data", "supervisor.sock", "supervisord.pid"))
    }
    return {service["name"] for service in status["services"] if service["state"] == "RUNNING"}, stored


def left(operator: Operator) -> list[str]:
    """What lies in the folder of all stacks."""
    return sorted(path.name for path in operator.directory.parent.iterdir())


@contextmanager
def listener(port: int) -> Iterator[None]:
    """Another program on a port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_up_and_teardown_converge_from_a_kill_in_the_middle(operator: Operator) -> None:
    """The port of the page is taken meanwhile, and others are refused while the second `up` holds the lock."""
    requested = operator.environment["PNEUMO_UI_PORT"]
    with listener(int(requested)):
        assert f"port {requested} is taken by another program: ui uses" in interrupt_up(operator, signal.SIGINT, 130)
        assert kill_in_step(operator, "up", "Configure and start the API", 0.0)
        again = operator.start("up", "-y")
        try:
            assert_locked(operator, again)
            _, stderr = again.communicate(timeout=600)
        finally:
            again.kill()
        assert again.returncode == 0, stderr
    assert "nothing to do" in operator.run("up").stdout  # its port stays where it is when the other is free again

    posted = post(operator, "100.png", 100)
    assert kill_in_step(operator, "teardown", "Stop the API", 0.0)
    stopped = {"where": "ui", "what": "it is stopped: an up or a teardown was interrupted"}
    stopped |= {"next": "pneumoctl up; or: pneumoctl teardown"}
    assert stopped in operator.json("status", code=Exit.FAILED)["faults"]
    operator.run("teardown", "-y")
    assert processes.ours(operator.directory) == []
    assert left(operator) == ["t.audit.head", "t.audit.jsonl", "t.mac-keys.json"]
    assert operator.json("audit", "--verify")["unfinished"].count("teardown") == 1  # killed there, and it shows
    (*_, results) = operator.data.glob("pneumoctl/exports/*/results/results.jsonl")
    assert posted["id"] in {json.loads(line)["id"] for line in results.read_text().splitlines()}


def assert_locked(operator: Operator, first: "subprocess.Popen[str]") -> None:
    """While the first one runs, others are refused."""
    before, deadline = len(events(operator.directory / "journal.jsonl")), time.monotonic() + 600
    while len(events(operator.directory / "journal.jsonl")) == before and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)  # else it might end before the others start
    try:
        for verb in ("up", "teardown"):
            error = operator.json(verb, "-y", code=Exit.LOCKED)["error"]
            assert error["holder"]["pid"] == first.pid and error["holder"]["command"] == "up"
    finally:
        first.send_signal(signal.SIGCONT)


@pytest.mark.repeat
def test_up_and_teardown_converge_from_a_kill_in_every_step(operator: Operator) -> None:
    assert sweep(operator, "up", 0.0) == 6
    operator.run("up", "-y")
    right = end_state(operator)
    posted = [post(operator, f"{seed}.png", seed) for seed in range(100, 105)]

    # again in the middle of the steps, with stored results and no running service
    for process in processes.ours(operator.directory):
        process.kill()
    for folder in ("stamps", "models"):
        shutil.rmtree(operator.directory / folder)
    (release,) = (path for path in (operator.directory / "releases").iterdir() if not path.is_symlink())
    shutil.rmtree(release)
    assert sweep(operator, "up", 0.25) >= 3  # a quarter of a second is longer than some steps
    operator.run("up", "-y")
    running, files = end_state(operator)
    assert running == right[0]
    assert files ^ right[1] == set()
    assert [stored(operator, prediction["id"]) for prediction in posted] == posted

    assert sweep(operator, "teardown", 0.0) >= 5
    operator.run("teardown", "-y")
    assert left(operator) == ["t.audit.head", "t.audit.jsonl", "t.mac-keys.json"]
    assert operator.json("audit", "--verify")["unfinished"].count("teardown") >= 1  # killed there, and it shows
    assert processes.ours(operator.directory) == []
    written = list(operator.data.glob("pneumoctl/exports/*/results/results.jsonl"))
    assert written  # one a try that came so far
    for results in written:
        exported = {json.loads(line)["id"] for line in results.read_text().splitlines()}
        assert {prediction["id"] for prediction in posted} <= exported


def interrupt_up(operator: Operator, number: signal.Signals, code: int) -> str:
    """Send `up` a signal while it starts Redis; returns what it wrote to stderr."""
    child = operator.start("up", "-y")
    deadline = time.monotonic() + 900
    while ("start", "Configure and start Redis") not in events(operator.directory / "journal.jsonl"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(number)
    _, stderr = child.communicate(timeout=900)
    assert child.returncode == code, stderr
    assert "Traceback" not in stderr
    return stderr


@pytest.mark.repeat
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_up_has_its_exit_code_and_is_resumed(
    operator: Operator, number: signal.Signals, code: int
) -> None:
    interrupt_up(operator, number, code)
    operator.run("up", "-y")
