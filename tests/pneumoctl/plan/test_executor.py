"""The executor: probes, order, parallel hosts, failures, the journal."""

import json
import threading
from pathlib import Path

import pytest

from pneumoctl.files import Tree
from pneumoctl.plan.executor import StepFailed, execute, pending
from pneumoctl.plan.steps import Copy, Fetch, Link, Plan, Probe, Put, Run, Service, Step
from pneumoctl.stack.journal import Journal
from tests.pneumoctl.fakes import FakeTransport, host_access


def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", "test")


def events(tmp_path: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    return [(line["event"], line.get("step", ""), line.get("host", "")) for line in lines]


def test_every_kind_of_action_reaches_the_host_in_order(tmp_path: Path) -> None:
    host = FakeTransport()
    actions = (
        Run(("a",)),
        Put("x", "/p", 0o640),
        Copy(Tree("s", "d"), "/c"),
        Link("/l", "t"),
        Fetch("f", "g"),
        Service("api", "stop"),
    )
    outputs = execute(
        Plan("p", (Step("S", ("app",), actions),)), {"app": host_access(host)}, journal(tmp_path), lambda *_: None
    )
    assert host.acts == ["a", "put /p 640", "copy s /c", "link /l t", "fetch f g", "ctl stop api"]
    assert outputs["S"].stdout == "said ctl stop api"


def test_a_step_whose_probes_all_succeed_is_skipped(tmp_path: Path) -> None:
    host = FakeTransport({"no": 1})
    done = Step("done", ("app",), (Run(("never",)),), (Probe(("yes",)),))
    half = Step("half", ("app",), (Run(("again",)),), (Probe(("yes",)), Probe(("no",))))
    seen: list[tuple[str, str]] = []
    hosts = {"app": host_access(host)}
    assert not pending(done, hosts)
    assert pending(half, hosts)
    host.acts.clear()
    execute(Plan("p", (done, half)), hosts, journal(tmp_path), lambda event, step: seen.append((event, step.title)))
    assert host.acts == ["yes", "yes", "no", "again"]
    assert seen == [("skip", "done"), ("start", "half"), ("done", "half")]
    assert events(tmp_path) == [("skip", "done", ""), ("start", "half", "app"), ("done", "half", "app")]


def test_a_step_that_was_just_found_done_is_not_probed_again(tmp_path: Path) -> None:
    host = FakeTransport({"no": 1})
    steps = [Step(name, ("app",), (Run(("act",)),), (Probe((probe,)),)) for name, probe in (("a", "no"), ("b", "yes"))]
    execute(Plan("p", tuple(steps)), {"app": host_access(host)}, journal(tmp_path), lambda *_: None, steps[:1])
    assert host.acts == ["yes"]
    assert events(tmp_path) == [("skip", "a", ""), ("skip", "b", "")]


def test_a_check_always_runs_whatever_its_probes_say(tmp_path: Path) -> None:
    host = FakeTransport()
    check = Step("proof", ("app",), (Run(("gate",)),), (Probe(("yes",)),), check=True)
    execute(Plan("p", (check,)), {"app": host_access(host)}, journal(tmp_path), lambda *_: None)
    assert host.acts == ["gate"]


def test_a_failure_stops_the_plan_and_says_where_and_why(tmp_path: Path) -> None:
    host = FakeTransport({"bad": 7})
    plan = Plan(
        "p", (Step("one", ("app",), (Run(("bad",)), Run(("after",)))), Step("two", ("app",), (Run(("never",)),)))
    )
    with pytest.raises(StepFailed) as caught:
        execute(plan, {"app": host_access(host)}, journal(tmp_path), lambda *_: None)
    assert host.acts == ["bad"]
    assert "one" in caught.value.message and "app" in caught.value.message and "it broke" in caught.value.message
    assert caught.value.details == {"step": "one", "host": "app", "exit_code": 7}
    assert events(tmp_path)[-1] == ("fail", "one", "app")


def test_an_operating_system_error_is_a_failed_step(tmp_path: Path) -> None:
    plan = Plan("p", (Step("one", ("app",), (Put("x", "/full/disk"),)),))
    with pytest.raises(StepFailed, match="No space left"):
        execute(plan, {"app": host_access(FakeTransport())}, journal(tmp_path), lambda *_: None)


def test_the_hosts_of_a_step_work_at_the_same_time(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=120)  # breaks, and fails the test, if the hosts take turns

    class Meets(FakeTransport):
        def run(self, argv, timeout):
            meeting.wait()
            return super().run(argv, timeout)

    hosts = {name: host_access(Meets()) for name in ("a", "b")}
    execute(Plan("p", (Step("S", ("a", "b"), (Run(("x",)),)),)), hosts, journal(tmp_path), lambda *_: None)


def test_the_journal_does_not_recreate_a_removed_directory(tmp_path: Path) -> None:
    gone = Journal(tmp_path / "gone" / "journal.jsonl", "teardown")
    gone.write("end")
    assert not (tmp_path / "gone").exists()
