"""Many hosts in parallel: dependencies between steps, and failures that stop only what depends on them."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.rollout import Result, StepRunner, pending, raise_for, roll_out
from pneumoctl.plan.steps import Plan, Probe, Run, Step
from pneumoctl.plan.transport import Output
from pneumoctl.stack.journal import Journal


class Scripted:
    """A host whose steps end as a table says; logs their order."""

    def __init__(self, name: str, log: list[str], **endings: str) -> None:
        self.name, self.log, self.endings = name, log, endings
        self.asked = 0

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        self.asked += 1
        return [self.endings.get(step.title) != "nothing" for step in steps]

    def act(self, step: Step) -> tuple[str, Output]:
        ending = self.endings.get(step.title, "done")
        time.sleep(0.05 if ending == "slow" else 0)
        self.log.append(f"{self.name}.{step.title}")
        if ending == "lost":
            raise PneumoError("the link was cut")
        if ending == "bug":
            raise KeyError("bug")
        return ("failed" if ending == "failed" else "done"), Output(0, f"{step.title} said", "why")


def step(title: str, *hosts: str, **more: object) -> Step:
    return Step(title, hosts, (Run(("true",)),), **more)  # type: ignore[arg-type]


def rolled_out(plan: Plan, runners: dict[str, StepRunner], tmp_path: Path) -> Result:
    return roll_out(plan, runners, pending(plan, runners), Journal(tmp_path / "journal", "test"), lambda *_: None)


def test_hosts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    log: list[str] = []
    meeting = threading.Barrier(2, timeout=120)

    class Meets(Scripted):
        def act(self, step: Step) -> tuple[str, Output]:
            meeting.wait()  # only together
            return super().act(step)

    runners: dict[str, StepRunner] = {name: Meets(name, log) for name in ("a", "b")}
    result = rolled_out(Plan("p", (step("one", "a", "b"),)), runners, tmp_path)

    assert sorted(log) == ["a.one", "b.one"] and not result.failures


def test_a_step_waits_for_its_dependencies_on_every_host(tmp_path: Path) -> None:
    log: list[str] = []
    runners: dict[str, StepRunner] = {"a": Scripted("a", log, first="slow"), "b": Scripted("b", log)}
    plan = Plan("p", (step("first", "a", "b"), step("then", "b", after=("first",))))

    rolled_out(plan, runners, tmp_path)

    assert log.index("a.first") < log.index("b.then")


@pytest.mark.parametrize("ending", ["failed", "lost", "bug"])
def test_a_failure_stops_its_host_and_dependent_steps_only(tmp_path: Path, ending: str) -> None:
    log: list[str] = []
    runners: dict[str, StepRunner] = {
        "a": Scripted("a", log, one=ending),
        "b": Scripted("b", log),
        "c": Scripted("c", log),
    }
    plan = Plan("p", (step("one", "a", "b"), step("two", "a", "b"), step("three", "c", after=("two",))))

    result = rolled_out(plan, runners, tmp_path)

    assert sorted(log) == ["a.one", "b.one", "b.two"]
    assert [(failure.host, failure.step.title) for failure in result.failures] == [("a", "one")]
    assert [(name, skipped.title) for name, skipped in result.skipped] == [("a", "two"), ("c", "three")]
    with pytest.raises(PneumoError, match="a: “one” failed") as raised:
        raise_for(result, "pneumoctl configure")
    assert raised.value.code == Exit.PARTLY
    assert raised.value.details["hosts"] == ["a", "c"]
    assert raised.value.details["changed"] == ["b: one", "b: two"]  # the audit record lists them
    assert raised.value.hint.endswith("pneumoctl configure")


def test_a_step_after_any_outcome_is_done_after_a_failure(tmp_path: Path) -> None:
    log: list[str] = []
    runners: dict[str, StepRunner] = {"a": Scripted("a", log, serve="failed"), "n": Scripted("n", log)}
    plan = Plan("p", (step("serve", "a"), step("fill", "n", after_any_outcome=("serve",))))

    rolled_out(plan, runners, tmp_path)

    assert log == ["a.serve", "n.fill"]


def test_a_host_continues_with_a_step_after_any_outcome_of_a_failed_one(tmp_path: Path) -> None:
    log: list[str] = []
    runners: dict[str, StepRunner] = {"a": Scripted("a", log, serve="failed"), "n": Scripted("n", log)}
    plan = Plan(
        "p", (step("serve", "a"), step("drain", "n", after=("serve",)), step("fill", "n", after_any_outcome=("serve",)))
    )

    rolled_out(plan, runners, tmp_path)

    assert log == ["a.serve", "n.fill"]


def test_only_pending_steps_are_done_and_checks_always(tmp_path: Path) -> None:
    log: list[str] = []
    runners: dict[str, StepRunner] = {"a": Scripted("a", log, one="nothing")}
    plan = Plan("p", (step("one", "a"), step("two", "a"), step("prove", "a", check=True)))

    result = rolled_out(plan, runners, tmp_path)

    assert log == ["a.two", "a.prove"]
    assert [done.title for _, done in result.done] == ["two"]
    assert result.outputs["prove"].stdout == "prove said"


def test_a_step_needed_by_others_is_done_if_one_of_them_is_pending(tmp_path: Path) -> None:
    plan = Plan("p", (step("drain", "n", needed_by=("serve",)), step("serve", "a")))
    idle: dict[str, StepRunner] = {"a": Scripted("a", [], serve="nothing"), "n": Scripted("n", [])}
    busy: dict[str, StepRunner] = {"a": Scripted("a", []), "n": Scripted("n", [])}

    assert pending(plan, idle) == {"a": [], "n": []}
    assert [one.title for one in pending(plan, busy)["n"]] == ["drain"]


def test_a_step_needed_by_others_is_done_if_its_own_probe_fails(tmp_path: Path) -> None:
    fill = replace(step("fill", "n", needed_by=("serve",)), done_if=(Probe(("true",)),))
    plan = Plan("p", (step("serve", "a"), fill))
    served: dict[str, StepRunner] = {"a": Scripted("a", [], serve="nothing"), "n": Scripted("n", [])}
    whole: dict[str, StepRunner] = {"a": Scripted("a", [], serve="nothing"), "n": Scripted("n", [], fill="nothing")}
    fresh: dict[str, StepRunner] = {"a": Scripted("a", []), "n": Scripted("n", [], fill="nothing")}

    assert [one.title for one in pending(plan, served)["n"]] == ["fill"]
    assert pending(plan, whole)["n"] == []
    assert [one.title for one in pending(plan, fresh)["n"]] == ["fill"]


def test_a_failed_gate_is_exit_10(tmp_path: Path) -> None:
    runners: dict[str, StepRunner] = {"a": Scripted("a", [], one="failed"), "b": Scripted("b", [], two="failed")}
    plan = Plan("p", (step("one", "a", gate=True), step("two", "b")))

    with pytest.raises(PneumoError) as raised:
        raise_for(rolled_out(plan, runners, tmp_path), "pneumoctl deploy api")
    assert raised.value.code == Exit.GATE_FAILED
