"""The agent on a host: steps that are done completely or undone, leases, and recovery after a kill."""

import errno
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.files import tree
from pneumoctl.ssh import archive, host_program, on_host
from pneumoctl.ssh.on_host import leases, steps, undo
from pneumoctl.ssh.on_host.frames import ANSWER, ASK, PART, Reader, frame
from tests.lab.wait import wait_for as wait_until
from tests.pneumoctl import agent_process

GROUP = __import__("grp").getgrgid(os.getgid()).gr_name
Act = Callable[..., dict[str, Any]]
NO_TREES = io.BytesIO()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of a host; its service manager is a script that records its calls."""
    for name in ("var", "run", "etc", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/manager").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\ntest ! -e {tmp_path}/broken || ! grep -q bad {tmp_path}/etc/conf\n'
    )
    (tmp_path / "bin/manager").chmod(0o755)
    monkeypatch.setattr(on_host, "STATE", str(tmp_path / "var"))
    monkeypatch.setattr(on_host, "RUNTIME", str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def act(host: Path) -> Act:
    """Carry out a step under a valid lease."""
    token = taken("us")["token"]

    def done(stream: bytes = b"", **step: Any) -> dict[str, Any]:
        request = {"op": "act", "run": "r", "holder": "us", "token": token, "step": document(**step)}
        return steps.act(request, io.BytesIO(stream))

    return done


def taken(holder: str, token: int | None = None, seconds: float = 30) -> dict[str, Any]:
    request = {"holder": holder, "who": f"{holder}@here", "token": token, "seconds": seconds}
    return leases.lease(request, NO_TREES)


def document(**step: Any) -> dict[str, Any]:
    """A step as the agent gets it."""
    title = step.get("title", "a step")
    return {
        "id": title,
        "title": title,
        "check": False,
        "done_if": [],
        "validate": [],
        "verify": [],
        "actions": [],
        **step,
    }


def put(path: Path, text: str, mode: int = 0o644) -> dict[str, Any]:
    return {"do": "put", "path": str(path), "text": text, "mode": mode, "group": GROUP}


def run(*argv: str, timeout: float = 10) -> dict[str, Any]:
    return {"do": "run", "argv": list(argv), "timeout": timeout, "title": ""}


def manager(host: Path) -> dict[str, Any]:
    return {"do": "service", "argv": [str(host / "bin/manager"), "restart"], "timeout": 10, "title": "restart it"}


def restarts(host: Path) -> int:
    path = host / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_files_are_written_with_their_modes_and_the_service_restarted_once(host: Path, act: Act) -> None:
    assert act(actions=[put(host / "etc/conf", "new", 0o640), manager(host)])["state"] == "done"
    assert (host / "etc/conf").read_text() == "new"
    assert (host / "etc/conf").stat().st_mode & 0o777 == 0o640
    assert restarts(host) == 1


def test_a_step_that_is_done_is_skipped(host: Path, act: Act) -> None:
    assert act(actions=[run("false")], done_if=[run("true")])["state"] == "skip"
    assert act(actions=[run("true")], done_if=[run("true"), run("false")])["state"] == "done"


def test_a_file_that_fails_validation_never_replaces_the_live_one(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    check = run("grep", "-q", "good", "{staged}" + str(host / "etc/conf"))
    answer = act(actions=[put(host / "etc/conf", "bad"), manager(host)], validate=[check])

    assert answer["state"] == "failed" and "grep" in answer["what"]
    assert (host / "etc/conf").read_text() == "old"
    assert restarts(host) == 0
    assert not list((host / "var").glob("staged.*"))


def test_a_failed_restart_restores_the_old_files_and_restarts_again(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    (host / "etc/link").symlink_to("first")
    (host / "broken").touch()
    link = {"do": "link", "path": str(host / "etc/link"), "target": "second"}
    actions = [put(host / "etc/conf", "bad"), put(host / "etc/added", "x"), link, manager(host)]

    answer = act(actions=actions)

    assert (answer["state"], answer["what"]) == ("failed", "restart it")
    assert (host / "etc/conf").read_text() == "old"
    assert (host / "etc/link").readlink() == Path("first")
    assert not (host / "etc/added").exists()
    assert restarts(host) == 2  # with the new file, then with the old one
    assert not list((host / "var/undo").glob("*"))


def test_a_failed_verification_is_undone(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    answer = act(
        actions=[put(host / "etc/conf", "new"), manager(host)], verify=[run("sh", "-c", "echo why >&2; exit 7")]
    )

    assert (answer["state"], answer["code"], answer["output"]) == ("failed", 7, "why")
    assert (host / "etc/conf").read_text() == "old"


def test_a_tree_arrives_completely_or_not_at_all(host: Path, act: Act, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner/file").write_text("x" * 100_000)
    packed = io.BytesIO()
    archive.pack(str(source), (), packed)
    whole, digest = packed.getvalue(), tree(source).digest
    copy = {"do": "copy", "path": str(host / "etc/tree"), "digest": digest, "size": len(whole)}

    assert "completely" in act(whole[:-10], actions=[copy])["what"]
    assert "not the planned one" in act(whole, actions=[{**copy, "digest": "0" * 64}])["what"]
    assert not list((host / "etc").iterdir())
    assert act(whole, actions=[copy])["state"] == "done"
    assert (host / "etc/tree/inner/file").read_text() == "x" * 100_000
    (host / "etc/tree/inner/file").write_text("tampered")
    assert act(whole, actions=[copy])["state"] == "done"
    assert (host / "etc/tree/inner/file").read_text() == "x" * 100_000


def test_a_failed_step_also_undoes_what_a_killed_attempt_changed(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    killed = undo.Undo("a step")
    killed.save(str(host / "etc/conf"))
    (host / "etc/conf").write_text("half-way")

    assert act(actions=[put(host / "etc/conf", "new"), run("false")])["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_a_step_killed_before_its_verification_is_done_again_and_then_final(host: Path, act: Act) -> None:
    conf = host / "etc/conf"
    conf.write_text("first")
    killed = undo.Undo("a step")
    killed.save(str(conf))
    conf.write_text("second")  # and then came the kill
    second = {"actions": [put(conf, "second"), manager(host)], "done_if": [run("grep", "-q", "second", str(conf))]}

    asked = {"op": "probe", "steps": [("a step", second["done_if"]), ("another", second["done_if"])]}
    assert steps.probe(asked, NO_TREES) == {"done": [False, True]}
    assert act(**second)["state"] == "done" and restarts(host) == 1
    assert act(**second)["state"] == "skip"
    assert act(actions=[put(conf, "third"), run("false")])["state"] == "failed"
    assert conf.read_text() == "second"


def test_a_killed_step_undoes_nothing_that_a_later_step_wrote(host: Path, act: Act) -> None:
    conf, other = host / "etc/conf", host / "etc/other"
    killed = undo.Undo("a step")
    for path in (conf, other):
        path.write_text("first")
        killed.save(str(path))
        path.write_text("half-way")

    assert act(title="another", actions=[put(conf, "second"), run("false")])["state"] == "failed"
    assert act(title="another", actions=[put(conf, "second")])["state"] == "done"
    assert act(actions=[put(conf, "third"), put(other, "third"), run("false")])["state"] == "failed"
    assert (conf.read_text(), other.read_text()) == ("second", "first")


def test_a_full_disk_changes_nothing(host: Path, act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    (host / "etc/conf").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = act(actions=[put(host / "etc/conf", "new"), manager(host)])

    assert answer["state"] == "failed" and "No space left" in answer["what"]
    monkeypatch.undo()
    assert (host / "etc/conf").read_text() == "old"
    assert [path.name for path in (host / "etc").iterdir()] == ["conf"]


def test_there_is_one_holder_and_older_tokens_are_refused(host: Path) -> None:
    first = taken("a", seconds=0.3)
    refused = taken("b")
    assert (refused["state"], refused["by"]) == ("held", "a@here") and 0 < refused["left"] <= 0.3
    time.sleep(0.35)
    second = taken("b")
    assert second["token"] == first["token"] + 1
    assert taken("a", first["token"])["state"] == "held"
    leases.release({"token": first["token"]}, NO_TREES)  # of no effect: it is not theirs any more
    step = document(title="late", actions=[put(host / "etc/conf", "late")])
    late = {"run": "r", "holder": "a", "token": first["token"], "step": step}
    assert steps.act(late, NO_TREES) == {"state": "lost"}
    assert not (host / "etc/conf").exists()
    leases.release({"token": second["token"]}, NO_TREES)
    assert taken("c")["token"] == second["token"] + 1
    assert taken("a", first["token"])["state"] == "held"


def test_an_expired_lease_can_be_renewed_if_nobody_took_the_host(host: Path) -> None:
    first = taken("a", seconds=0.05)
    time.sleep(0.1)
    assert taken("a", first["token"]) == {"state": "granted", "token": first["token"]}


@pytest.mark.parametrize(
    "content", ["", "[]", "7", "{}", '{"until": 1e99}', '{"until": "x", "holder": "a", "who": "a"}']
)
def test_a_damaged_lease_locks_nobody_out(host: Path, content: str) -> None:
    first = taken("a")
    (host / "run/lease").write_text(content)
    assert taken("b") == {"state": "granted", "token": first["token"] + 1}


def test_the_next_command_of_the_same_stack_takes_over_at_once(host: Path) -> None:
    killed = taken("a")
    assert taken("a")["token"] == killed["token"] + 1


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


def processes(child: "subprocess.Popen[bytes]") -> list[int]:
    """The processes of the requests that run."""
    return [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]


# Together, they took three quarters of the CPU time of a request, and a lease is renewed every few seconds.
HEAVY = {"typing", "pathlib", "tempfile", "shutil", "tarfile", "csv", "random"}


@pytest.mark.parametrize(
    ("asked", "without"),
    [
        ({"op": "lease", "holder": "us", "who": "", "token": None, "seconds": 9}, {*HEAVY, "subprocess", "hashlib"}),
        ({"op": "read", "paths": []}, {*HEAVY, "subprocess", "hashlib"}),
        ({"op": "run", "argv": ["true"], "timeout": 9}, {*HEAVY, "hashlib"}),
        ({"op": "probe", "steps": [["a step", []]]}, HEAVY),
        ({"op": "act", "run": "r", "holder": "us", "token": 1, "step": {"title": "a step"}}, HEAVY),
        ({"op": "release", "token": 1}, {*HEAVY, "subprocess", "hashlib"}),
    ],
)
def test_a_request_imports_only_what_it_needs(host: Path, asked: dict[str, Any], without: set[str]) -> None:
    child = started(host, asked, after="print(*sys.modules, flush=True)")
    said, modules = child.communicate(timeout=600)[0].decode().rstrip().rsplit("}", 1)
    assert said.startswith("answer 1 ")
    assert "pneumoctl.ssh.on_host.agent" in modules.split() and not without & set(modules.split())


def test_a_large_answer_arrives_whole_and_a_malformed_request_is_no_success(host: Path) -> None:
    (host / "large").write_text("x" * 5_000_000)
    child = started(host, {"op": "read", "paths": [str(host / "large")]}, after="os._exit(0)")
    assert [len(text) for text in answer(child)["texts"]] == [5_000_000] and child.returncode == 0

    child = started(host, {"op": "unknown"}, after="os._exit(0)")
    output = "unexpected error, please report it (KeyError: 'unknown')"
    assert answer(child) == {"state": "failed", "what": "the agent", "code": 1, "output": output}


def test_a_file_that_cannot_be_read_is_not_taken_for_absent(
    host: Path, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, lstat = host / "etc/conf", os.lstat
    conf.write_text("old")

    def failing(path: str | os.PathLike[str], **options: Any) -> os.stat_result:
        if str(path) == str(conf):
            raise OSError(errno.EIO, "Input/output error")
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", failing)
    assert act(actions=[put(conf, "new")])["state"] == "failed"
    assert conf.read_text() == "old"


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


def test_the_record_of_steps_is_bounded(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LONGEST_RECORD", 2000)
    for number in range(100):
        steps.record({"title": f"step {number}"})

    lines = (host / "var/steps.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["title"] == "step 99" and json.loads(lines[0])
    assert (host / "var/steps.jsonl").stat().st_size < 2200


def test_one_agent_answers_requests_while_a_step_runs(host: Path) -> None:
    child = opened(host)
    ask(child, 1, slow(host))
    wait_for(host / "begun")
    renewal = {"op": "lease", "holder": "us", "who": "us@here", "token": 1, "seconds": 30}
    for number in (2, 3):
        ask(child, number, renewal)
    said = frames(child)
    assert sorted(number for _, number, _ in (next(said), next(said))) == [2, 3]
    (host / "release").touch()
    kind, number, document = next(said)
    assert (kind, number, document["state"]) == (ANSWER, 1, "done")
    child.communicate(timeout=600)


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


def test_a_request_has_its_time_limit(host: Path) -> None:
    request = {"op": "run", "argv": ["sleep", "600"], "timeout": 600, "limit": 0.05}
    assert "did not end within" in answer(started(host, request))["output"]


def test_the_trees_of_a_refused_step_do_not_disturb_the_next_request(host: Path) -> None:
    refused = {"op": "act", "run": "r", "holder": "nobody", "token": 5, "step": document()}
    child = opened(host)
    assert child.stdin
    for _ in range(3):
        child.stdin.write(frame(PART, 1, bytes(1_000_000)))
    ask(child, 1, refused)
    ask(child, 2, {"op": "read", "paths": []})
    said = frames(child)
    assert sorted((next(said), next(said)), key=lambda one: one[1]) == [
        (ANSWER, 1, {"state": "lost"}),
        (ANSWER, 2, {"texts": []}),
    ]
    child.communicate(timeout=600)
    assert not list((host / "var").glob(".trees*"))


def test_trees_that_were_cut_short_begin_no_step(host: Path) -> None:
    child = opened(host)
    assert child.stdin
    child.stdin.write(frame(PART, 1, b"x" * 1000) + frame(ASK, 1, json.dumps(slow(host)).encode())[:-1])
    child.stdin.close()
    child.stdin = None
    assert child.communicate(timeout=600)[0] == b""
    assert not (host / "var/steps.jsonl").exists()
