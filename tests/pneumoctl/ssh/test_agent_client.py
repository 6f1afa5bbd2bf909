"""Requests to a host's agent: one process answers them all, and nothing else is taken for an answer."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pneumoctl.files import tree
from pneumoctl.plan.steps import Copy, Put, Run, Step
from pneumoctl.ssh import agent_session
from pneumoctl.ssh.agent_client import Fenced
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.ssh.on_host.frames import ANSWER, frame
from tests.lab.wait import wait_for
from tests.pneumoctl.ssh.local_agents import HOST, Start


def says(data: bytes, then: str = "sys.stdin.buffer.read()") -> list[str]:
    """An agent that takes the program, says this, and then ends or waits for the end of its input."""
    return [sys.executable, "-c", f"import os, sys\nos.write(1, {data!r})\n{then}"]


def running(command: str, timeout: float = 60.0) -> Step:
    return Step(command, (), (Run(("sh", "-c", command), timeout),))


def test_one_process_answers_all_requests_of_a_command(start: Start, agent: list[str], tmp_path: Path) -> None:
    agents, connections = start(agent)
    agents.lease(HOST)
    begun, release = tmp_path / "begun", tmp_path / "release"
    script = f"touch {begun}; until test -e {release}; do sleep 0.05; done; echo done"
    with ThreadPoolExecutor(9) as pool:
        slow = pool.submit(agents.act, HOST, running(script))
        wait_for("the step", begun.exists)
        answers = list(pool.map(lambda number: agents.run(HOST, ("echo", str(number))).stdout, range(20)))
        agents.lease(HOST)  # while the step runs
        release.touch()
        assert slow.result()[0] == "done" and slow.result()[1].stdout == "done\n"
    assert answers == [f"{number}\n" for number in range(20)]
    assert len(connections.channels) == 1


def test_trees_arrive_in_order_while_other_requests_are_answered(
    start: Start, agent: list[str], tmp_path: Path
) -> None:
    agents, connections = start(agent)
    agents.lease(HOST)
    copies = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(os.urandom(3_000_000))
        copies.append(Copy(tree(tmp_path / name), str(tmp_path / "srv" / name)))
    with ThreadPoolExecutor(2) as pool:
        copied = pool.submit(agents.act, HOST, Step("Copy", (), tuple(copies)))
        while not copied.done():
            assert agents.run(HOST, ("echo", "x")).stdout == "x\n"
        assert copied.result()[0] == "done"
    for name in ("one", "two"):
        assert (tmp_path / "srv" / name / "file").read_bytes() == (tmp_path / name / "file").read_bytes()
    assert len(connections.channels) == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"Welcome to Debian!\n" + frame(ANSWER, 1, b'{"done": [true]}'), "not the beginning of a frame"),
        (frame(ANSWER, 1, b'{"done": [false]}').replace(b"false", b"true "), "contents of a frame were changed"),
        (frame(ANSWER, 9, b'{"done": [true]}'), "answer 9, which was not asked for"),
    ],
)
def test_a_mixed_up_answer_is_an_error_and_the_next_request_has_a_new_agent(
    start: Start, agent: list[str], data: bytes, why: str
) -> None:
    agents, connections = start(says(data), agent)

    with pytest.raises(Unreachable, match=f"app-0.*its answer is damaged: .*{why}"):
        agents.pending(HOST, [running("true")])
    assert agents.pending(HOST, [running("true")]) == [True]
    assert len(connections.channels) == 2


def test_a_truncated_answer_is_an_error(start: Start) -> None:
    cut = frame(ANSWER, 1, b'{"done": [true]}')[:-2]
    agents, _ = start(says(cut, "os._exit(3)"))

    with pytest.raises(Unreachable, match=r"app-0.*its agent ended \(exit 3\)"):
        agents.pending(HOST, [running("true")])


def test_an_agent_that_cannot_start_is_reported_with_its_message(start: Start) -> None:
    agents, _ = start(says(b"", "sys.exit('sudo: a password is required')"))

    with pytest.raises(Unreachable, match="sudo: a password is required"):
        agents.lease(HOST)


def test_a_killed_request_is_reported_and_the_agent_goes_on(start: Start, agent: list[str], tmp_path: Path) -> None:
    agents, connections = start(agent)
    agents.lease(HOST)
    with ThreadPoolExecutor(1) as pool:
        script = f"echo $PPID >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; until false; do sleep 0.05; done"
        slow = pool.submit(agents.act, HOST, running(script))
        wait_for("the step", (tmp_path / "pid").exists)
        os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        with pytest.raises(Unreachable, match="it was killed"):
            slow.result(600)
    assert agents.act(HOST, running("true"))[0] == "done"
    assert len(connections.channels) == 1


def test_requests_in_flight_end_with_a_killed_agent(start: Start, agent: list[str], tmp_path: Path) -> None:
    agents, connections = start(agent, agent)
    agents.lease(HOST)
    begun, release = tmp_path / "begun", tmp_path / "release"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(agents.act, HOST, running(f"touch {begun}; until test -e {release}; do sleep 0.05; done"))
        wait_for("the step", begun.exists)
        connections.channels[0].process.kill()
        with pytest.raises(Unreachable, match="app-0"):
            slow.result(600)
    waits: list[str] = []

    def released(title: str) -> None:
        waits.append(title)
        release.touch()

    assert agents.act(HOST, running("true"), released)[0] == "done"  # waits for the step that the first one began
    assert waits and "touch" in waits[0]


def test_a_lease_that_another_took_refuses_the_step_of_a_running_session(
    start: Start, agent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoctl.ssh.agent_client.LEASE_S", 0.05)
    agents, _ = start(agent)
    agents.lease(HOST)
    others, _ = start(agent, holder="them")

    def taken() -> bool:
        try:
            others.lease(HOST)
        except Fenced:
            return False
        return True

    wait_for("the lease to end", taken)
    with pytest.raises(Fenced, match="this step was not begun"):
        agents.act(HOST, Step("Write", (), (Put("x", str(tmp_path / "srv/file")),)))
    assert not (tmp_path / "srv/file").exists()


def test_a_session_that_was_silent_for_long_is_replaced(
    start: Start, agent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agents, connections = start(agent, agent)
    agents.greet(HOST)
    monkeypatch.setattr(agent_session, "SILENT_S", 0.0)
    agents.greet(HOST)
    assert len(connections.channels) == 2
    wait_for("the first to end", connections.channels[0].exit_status_ready)


def test_an_agent_that_takes_no_input_is_reported(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(agent_session, "STALL_S", 0.1)
    monkeypatch.setattr(agent_session, "LOOK_S", 0.1)
    agents, _ = start(says(b"", f"import time\nwhile not os.path.exists({str(tmp_path / 'stop')!r}): time.sleep(0.05)"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(os.urandom(5_000_000))
    try:
        with pytest.raises(Unreachable, match="nothing could be sent"):
            agents.act(HOST, Step("Copy", (), (Copy(tree(tmp_path / "tree"), str(tmp_path / "x")),)))
    finally:
        (tmp_path / "stop").touch()


def test_a_host_that_cannot_store_a_lease_is_named(start: Start) -> None:
    full = frame(ANSWER, 1, b'{"state": "failed", "what": "the host", "code": 1, "output": "No space left on device"}')
    agents, _ = start(says(full))

    with pytest.raises(Unreachable, match=r"app-0.*No space left on device"):
        agents.lease(HOST)
