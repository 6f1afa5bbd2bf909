"""Many hosts at once: each for itself, some steps behind others, a failure that ends only what depends on it."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.rollout import Place, Result, pending, raise_for, roll_out
from pneumoctl.plan.steps import Plan, Run, Step
from pneumoctl.plan.transport import Output
from pneumoctl.stack.journal import Journal


class Scripted:
    """A host whose steps end as a script says; notes when."""

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


def carried_out(plan: Plan, places: dict[str, Place], tmp_path: Path) -> Result:
    return roll_out(plan, places, pending(plan, places), Journal(tmp_path / "journal", "test"), lambda *_: None)


def test_hosts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    log: list[str] = []
    meeting = threading.Barrier(2, timeout=10)

    class Meets(Scripted):
        def act(self, step: Step) -> tuple[str, Output]:
            meeting.wait()  # only together
            return super().act(step)

    places: dict[str, Place] = {name: Meets(name, log) for name in ("a", "b")}
    result = carried_out(Plan("p", (step("one", "a", "b"),)), places, tmp_path)

    assert sorted(log) == ["a.one", "b.one"] and not result.failures


def test_a_step_waits_for_what_it_is_after_on_every_host(tmp_path: Path) -> None:
    log: list[str] = []
    places: dict[str, Place] = {"a": Scripted("a", log, first="slow"), "b": Scripted("b", log)}
    plan = Plan("p", (step("first", "a", "b"), step("then", "b", after=("first",))))

    carried_out(plan, places, tmp_path)

    assert log.index("a.first") < log.index("b.then")


@pytest.mark.parametrize("ending", ["failed", "lost", "bug"])
def test_a_failure_ends_its_host_and_what_waits_for_it_and_nothing_else(tmp_path: Path, ending: str) -> None:
    log: list[str] = []
    places: dict[str, Place] = {"a": Scripted("a", log, one=ending), "b": Scripted("b", log), "c": Scripted("c", log)}
    plan = Plan("p", (step("one", "a", "b"), step("two", "a", "b"), step("three", "c", after=("two",))))

    result = carried_out(plan, places, tmp_path)

    assert sorted(log) == ["a.one", "b.one", "b.two"]
    assert [(one.host, one.step.title) for one in result.failures] == [("a", "one")]
    assert [(name, one.title) for name, one in result.untried] == [("a", "two"), ("c", "three")]
    with pytest.raises(PneumoError, match="a: “one” failed") as raised:
        raise_for(result, "pneumoctl configure")
    assert raised.value.code == Exit.PARTLY
    assert raised.value.details["hosts"] == ["a", "c"]
    assert raised.value.hint.endswith("pneumoctl configure")


def test_what_is_behind_a_failure_is_done_all_the_same(tmp_path: Path) -> None:
    log: list[str] = []
    places: dict[str, Place] = {"a": Scripted("a", log, serve="failed"), "n": Scripted("n", log)}
    plan = Plan("p", (step("serve", "a"), step("fill", "n", behind=("serve",))))

    carried_out(plan, places, tmp_path)

    assert log == ["a.serve", "n.fill"]


def test_a_host_that_misses_a_step_goes_on_with_what_is_behind_it(tmp_path: Path) -> None:
    log: list[str] = []
    places: dict[str, Place] = {"a": Scripted("a", log, serve="failed"), "n": Scripted("n", log)}
    plan = Plan("p", (step("serve", "a"), step("drain", "n", after=("serve",)), step("fill", "n", behind=("serve",))))

    carried_out(plan, places, tmp_path)

    assert log == ["a.serve", "n.fill"]


def test_only_what_is_pending_is_done_and_a_check_always(tmp_path: Path) -> None:
    log: list[str] = []
    places: dict[str, Place] = {"a": Scripted("a", log, one="nothing")}
    plan = Plan("p", (step("one", "a"), step("two", "a"), step("prove", "a", check=True)))

    result = carried_out(plan, places, tmp_path)

    assert log == ["a.two", "a.prove"]
    assert [one.title for _, one in result.done] == ["two"]
    assert result.outputs["prove"].stdout == "prove said"


def test_a_step_for_the_sake_of_others_is_done_when_one_of_them_is(tmp_path: Path) -> None:
    plan = Plan("p", (step("drain", "n", sake=("serve",)), step("serve", "a")))
    idle: dict[str, Place] = {"a": Scripted("a", [], serve="nothing"), "n": Scripted("n", [])}
    busy: dict[str, Place] = {"a": Scripted("a", []), "n": Scripted("n", [])}

    assert pending(plan, idle) == {"a": [], "n": []}
    assert [one.title for one in pending(plan, busy)["n"]] == ["drain"]


def test_what_was_left_half_done_for_the_sake_of_others_is_done_without_them(tmp_path: Path) -> None:
    fill = replace(step("fill", "n", sake=("serve",)), unless=(Run(("true",)),))
    plan = Plan("p", (step("serve", "a"), fill))
    served: dict[str, Place] = {"a": Scripted("a", [], serve="nothing"), "n": Scripted("n", [])}
    whole: dict[str, Place] = {"a": Scripted("a", [], serve="nothing"), "n": Scripted("n", [], fill="nothing")}
    fresh: dict[str, Place] = {"a": Scripted("a", []), "n": Scripted("n", [], fill="nothing")}

    assert [one.title for one in pending(plan, served)["n"]] == ["fill"]
    assert pending(plan, whole)["n"] == []
    assert [one.title for one in pending(plan, fresh)["n"]] == ["fill"]


def test_a_gate_that_closes_is_exit_10(tmp_path: Path) -> None:
    places: dict[str, Place] = {"a": Scripted("a", [], one="failed"), "b": Scripted("b", [], two="failed")}
    plan = Plan("p", (step("one", "a", gate=True), step("two", "b")))

    with pytest.raises(PneumoError) as raised:
        raise_for(carried_out(plan, places, tmp_path), "pneumoctl deploy api")
    assert raised.value.code == Exit.GATE_FAILED
