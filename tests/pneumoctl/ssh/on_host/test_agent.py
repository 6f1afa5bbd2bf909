"""What the agent does on a host: steps whole or not at all, leases that fence, and what a kill leaves behind."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.files import tree
from pneumoctl.ssh import agent_client, archive
from pneumoctl.ssh.on_host import agent, leases

GROUP = __import__("grp").getgrgid(os.getgid()).gr_name
Act = Callable[..., dict[str, Any]]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for a host, its service manager a script that counts."""
    for name in ("var", "run", "etc", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/manager").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/told\ntest ! -e {tmp_path}/broken || ! grep -q bad {tmp_path}/etc/conf\n'
    )
    (tmp_path / "bin/manager").chmod(0o755)
    monkeypatch.setattr(agent, "KEPT", tmp_path / "var")
    monkeypatch.setattr(leases, "KEPT", tmp_path / "var")
    monkeypatch.setattr(leases, "RUNNING", tmp_path / "run")
    return tmp_path


@pytest.fixture
def act(host: Path) -> Act:
    """Do a step under a lease of our own."""
    token = taken("us")["token"]

    def done(stream: bytes = b"", **step: Any) -> dict[str, Any]:
        given = {"title": "a step", "check": False, "unless": [], "valid": [], "good": [], "actions": [], **step}
        request = {"op": "act", "run": "r", "holder": "us", "token": token, "step": given}
        return agent.act(request, io.BytesIO(stream))

    return done


def taken(holder: str, token: int | None = None, seconds: float = 30) -> dict[str, Any]:
    return leases.lease({"holder": holder, "who": f"{holder}@here", "token": token, "seconds": seconds})


def put(path: Path, text: str, mode: int = 0o644) -> dict[str, Any]:
    return {"do": "put", "path": str(path), "text": text, "mode": mode, "group": GROUP}


def run(*argv: str, timeout: float = 10) -> dict[str, Any]:
    return {"do": "run", "argv": list(argv), "timeout": timeout, "title": ""}


def manager(host: Path) -> dict[str, Any]:
    return {"do": "service", "argv": [str(host / "bin/manager"), "restart"], "timeout": 10, "title": "restart it"}


def told(host: Path) -> int:
    path = host / "told"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_files_are_written_with_their_rights_and_the_service_told_once(host: Path, act: Act) -> None:
    assert act(actions=[put(host / "etc/conf", "new", 0o640), manager(host)])["state"] == "done"
    assert (host / "etc/conf").read_text() == "new"
    assert (host / "etc/conf").stat().st_mode & 0o777 == 0o640
    assert told(host) == 1


def test_a_step_that_is_done_is_skipped(host: Path, act: Act) -> None:
    assert act(actions=[run("false")], unless=[run("true")])["state"] == "skip"
    assert act(actions=[run("true")], unless=[run("true"), run("false")])["state"] == "done"


def test_a_file_that_is_judged_bad_never_lies_in_its_place(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    judge = run("grep", "-q", "good", "{staged}" + str(host / "etc/conf"))
    answer = act(actions=[put(host / "etc/conf", "bad"), manager(host)], valid=[judge])

    assert answer["state"] == "failed" and "grep" in answer["what"]
    assert (host / "etc/conf").read_text() == "old"
    assert told(host) == 0
    assert not list((host / "var").glob("staged.*"))


def test_a_service_that_does_not_come_back_gets_its_old_files_and_is_told_again(host: Path, act: Act) -> None:
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
    assert told(host) == 2  # with the new file, then with the old one
    assert not list((host / "var/undo").glob("*"))


def test_an_outcome_that_is_not_good_is_undone(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    answer = act(actions=[put(host / "etc/conf", "new"), manager(host)], good=[run("sh", "-c", "echo why >&2; exit 7")])

    assert (answer["state"], answer["code"], answer["said"]) == ("failed", 7, "why")
    assert (host / "etc/conf").read_text() == "old"


def test_a_tree_arrives_whole_or_not_at_all(host: Path, act: Act, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner/file").write_text("x" * 100_000)
    packed = io.BytesIO()
    archive.pack(str(source), (), packed)
    whole, digest = packed.getvalue(), tree(source).digest
    copy = {"do": "copy", "path": str(host / "etc/tree"), "digest": digest, "size": len(whole)}

    assert "whole" in act(whole[:-10], actions=[copy])["what"]
    assert "not what was planned" in act(whole, actions=[{**copy, "digest": "0" * 64}])["what"]
    assert not list((host / "etc").iterdir())
    assert act(whole, actions=[copy])["state"] == "done"
    assert (host / "etc/tree/inner/file").read_text() == "x" * 100_000
    (host / "etc/tree/inner/file").write_text("tampered")
    assert act(whole, actions=[copy])["state"] == "done"
    assert (host / "etc/tree/inner/file").read_text() == "x" * 100_000


def test_what_a_killed_step_had_swapped_is_put_back_when_the_next_one_fails(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    killed = agent.Undo("a step")
    killed.keep(host / "etc/conf")
    (host / "etc/conf").write_text("half-way")

    assert act(actions=[put(host / "etc/conf", "new"), run("false")])["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_what_was_killed_before_it_was_judged_is_done_again_and_no_later_failure_goes_back_behind_it(
    host: Path, act: Act
) -> None:
    conf = host / "etc/conf"
    conf.write_text("first")
    killed = agent.Undo("a step")
    killed.keep(conf)
    conf.write_text("second")  # and then came the kill
    second = {"actions": [put(conf, "second"), manager(host)], "unless": [run("grep", "-q", "second", str(conf))]}

    asked = {"op": "probe", "steps": [("a step", second["unless"]), ("another", second["unless"])]}
    assert agent.answer(asked, io.BytesIO()) == {"done": [False, True]}
    assert act(**second)["state"] == "done" and told(host) == 1
    assert act(**second)["state"] == "skip"
    assert act(actions=[put(conf, "third"), run("false")])["state"] == "failed"
    assert conf.read_text() == "second"


def test_a_killed_step_undoes_nothing_that_another_wrote_after_it(host: Path, act: Act) -> None:
    conf, other = host / "etc/conf", host / "etc/other"
    killed = agent.Undo("a step")
    for path in (conf, other):
        path.write_text("first")
        killed.keep(path)
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
    assert [one.name for one in (host / "etc").iterdir()] == ["conf"]


def test_only_one_holder_at_a_time_and_the_older_one_is_fenced_off(host: Path) -> None:
    first = taken("a", seconds=0.3)
    refused = taken("b")
    assert (refused["state"], refused["by"]) == ("held", "a@here") and 0 < refused["left"] <= 0.3
    time.sleep(0.35)
    second = taken("b")
    assert second["token"] == first["token"] + 1
    assert taken("a", first["token"])["state"] == "held"
    leases.release({"token": first["token"]})  # of no effect: it is not theirs any more
    step = {"title": "late", "check": False, "unless": [], "valid": [], "good": []}
    step["actions"] = [put(host / "etc/conf", "from the dead")]
    late = {"run": "r", "holder": "a", "token": first["token"], "step": step}
    assert agent.act(late, io.BytesIO()) == {"state": "lost"}
    assert not (host / "etc/conf").exists()
    leases.release({"token": second["token"]})
    assert taken("c")["token"] == second["token"] + 1
    assert taken("a", first["token"])["state"] == "held"


def test_a_lease_outlives_silence_when_nobody_took_the_host(host: Path) -> None:
    first = taken("a", seconds=0.05)
    time.sleep(0.1)
    assert taken("a", first["token"]) == {"state": "held by you", "token": first["token"]}


def test_the_same_stacks_next_command_takes_over_at_once(host: Path) -> None:
    killed = taken("a")
    assert taken("a")["token"] == killed["token"] + 1


ELSEWHERE = """
from pathlib import Path
for name in ("pneumoctl.ssh.on_host.leases", "pneumoctl.ssh.on_host.agent"):
    sys.modules[name].KEPT, sys.modules[name].RUNNING = Path({var!r}), Path({run!r})
module.main()"""


def started(host: Path, request: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """As a host runs it, without our packages; only what it keeps lies elsewhere."""
    loader, program = agent_client.sent()
    elsewhere = ELSEWHERE.format(var=str(host / "var"), run=str(host / "run"))
    line = [sys.executable, "-IS", "-c", loader.replace("\nmodule.main()", elsewhere)]
    child = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    child.stdin.write(program + json.dumps(request).encode() + b"\n")
    child.stdin.close()
    child.stdin = None
    return child


def slow(host: Path, title: str = "slow") -> dict[str, Any]:
    actions = [put(host / "etc/conf", "new"), run("sh", "-c", f"touch {host}/begun; sleep 3", timeout=20)]
    step = {"title": title, "check": False, "unless": [], "valid": [], "good": [], "actions": actions}
    return {"op": "act", "run": "r", "holder": "us", "token": taken("us")["token"], "step": step}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_told_to_end_it_undoes_what_it_did(host: Path) -> None:
    (host / "etc/conf").write_text("old")
    child = started(host, slow(host))
    wait_for(host / "begun")
    child.send_signal(signal.SIGTERM)

    out, _ = child.communicate(timeout=20)

    assert json.loads(out.splitlines()[-1])["answer"]["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_killed_it_leaves_what_the_next_step_needs_to_undo(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    child = started(host, slow(host, "a step"))
    wait_for(host / "begun")
    child.kill()
    child.communicate(timeout=20)
    assert (host / "etc/conf").read_text() == "new"

    token = taken("us")["token"]
    step = {"title": "a step", "check": False, "unless": [], "valid": [], "good": [run("false")]}
    request = {"run": "r", "holder": "us", "token": token, "step": {**step, "actions": [put(host / "etc/conf", "x")]}}
    assert agent.act(request, io.BytesIO())["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_a_cut_link_does_not_stop_it_and_the_next_waits_for_it(host: Path) -> None:
    child = started(host, slow(host))
    wait_for(host / "begun")
    assert child.stdout
    child.stdout.close()
    child.send_signal(signal.SIGHUP)
    request = slow(host, "the next")
    request["step"]["actions"] = [run("true")]
    second = started(host, request)

    out, _ = second.communicate(timeout=30)

    said = [json.loads(line) for line in out.splitlines()]
    assert said[0]["event"] == "waiting" and said[0]["for"]["title"] == "slow"
    assert said[-1]["answer"]["state"] == "done"
    assert (host / "etc/conf").read_text() == "new"
    child.wait(20)  # its code is of no meaning: Python could not say its last words
    events = [json.loads(line)["event"] for line in (host / "var/steps.jsonl").read_text().splitlines()]
    assert events == ["begin", "done", "begin", "done"]


def test_the_record_does_not_grow_for_ever(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "LONGEST_RECORD", 2000)
    for number in range(100):
        agent.record({"title": f"step {number}"})

    lines = (host / "var/steps.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["title"] == "step 99" and json.loads(lines[0])
    assert (host / "var/steps.jsonl").stat().st_size < 2200
