"""Requests to the agent as a process: what it imports, answers at the same time, and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.ssh.on_host.frames import ANSWER, ASK, PART, frame
from tests.pneumoctl.ssh.on_host.started_agent import answer, ask, frames, opened, slow, started, wait_for
from tests.pneumoctl.ssh.on_host.step_requests import document

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
