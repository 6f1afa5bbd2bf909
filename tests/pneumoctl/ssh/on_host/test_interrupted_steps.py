"""Steps of an agent that is ended, killed, disconnected or at its time limit: done completely or undone."""

import json
import os
import signal
import subprocess
from pathlib import Path

from pneumoctl.ssh.on_host import leases, steps
from pneumoctl.ssh.on_host.frames import ANSWER
from tests.lab.wait import wait_for as wait_until
from tests.pneumoctl.ssh.on_host.started_agent import answer, frames, slow, started, wait_for
from tests.pneumoctl.ssh.on_host.step_requests import NO_TREES, Act, document, put, run, taken


def processes(child: "subprocess.Popen[bytes]") -> list[int]:
    """The processes of the requests that run."""
    return [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]


def test_sigterm_undoes_the_step(host: Path) -> None:
    (host / "etc/conf").write_text("old")
    child = started(host, slow(host))
    wait_for(host / "begun")
    child.send_signal(signal.SIGTERM)
    ended = answer(child)
    (host / "release").touch()

    assert ended["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_after_a_kill_the_next_attempt_can_undo_the_step(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    child = started(host, slow(host, "a step"))
    wait_for(host / "begun")
    (process,) = processes(child)
    os.kill(process, signal.SIGKILL)
    (host / "release").touch()
    assert answer(child) == {"killed": -signal.SIGKILL}
    assert (host / "etc/conf").read_text() == "new"

    token = taken("us")["token"]
    step = document(verify=[run("false")], actions=[put(host / "etc/conf", "x")])
    request = {"run": "r", "holder": "us", "token": token, "step": step}
    assert steps.act(request, NO_TREES)["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_a_lost_connection_does_not_stop_a_step_and_the_next_one_waits(host: Path) -> None:
    child = started(host, slow(host))
    wait_for(host / "begun")
    assert child.stdout
    child.stdout.close()
    child.send_signal(signal.SIGHUP)
    request = slow(host, "the next")
    request["step"]["actions"] = [run("true")]
    second = started(host, request)

    said = frames(second)
    _, _, event = next(said)
    assert event["event"] == "waiting" and event["for"]["title"] == "slow"
    (host / "release").touch()

    assert [document["state"] for kind, _, document in said if kind == ANSWER] == ["done"]
    assert (host / "etc/conf").read_text() == "new"
    child.wait(120)  # its exit code has no meaning: Python could not flush its output
    events = [json.loads(line)["event"] for line in (host / "var/steps.jsonl").read_text().splitlines()]
    assert events == ["begin", "done", "begin", "done"]


def test_a_step_ends_although_its_agent_was_killed(host: Path) -> None:
    child = started(host, slow(host))
    wait_for(host / "begun")
    child.kill()
    assert list(frames(child)) == []
    (host / "release").touch()
    with leases.locked("step.lock"):  # until it has ended
        events = [json.loads(line)["event"] for line in (host / "var/steps.jsonl").read_text().splitlines()]
    assert events == ["begin", "done"]


def test_at_its_time_limit_a_step_is_undone_and_its_commands_end(host: Path) -> None:
    (host / "etc/conf").write_text("old")
    script = f"sleep 600 & echo $! >{host}/new; mv {host}/new {host}/pid; wait"
    request = slow(host)
    request["step"]["actions"][1] = run("sh", "-c", script, timeout=600)

    child = started(host, request)
    wait_for(host / "pid")
    os.kill(processes(child)[0], signal.SIGALRM)  # as its timer does
    ended = answer(child)

    assert (ended["state"], (host / "etc/conf").read_text()) == ("failed", "old")
    wait_until("its command to end", lambda: not runs(int((host / "pid").read_text())))


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False
