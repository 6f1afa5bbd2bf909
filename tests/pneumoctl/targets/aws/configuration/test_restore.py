"""After a failed health gate, hosts that were switched serve the releases before; the outcome has the right code."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Code, DesiredState, Model
from pneumoctl.hosts.layout import OPERATOR
from pneumoctl.plan import rollout
from pneumoctl.plan.rollout import Result, StepRunner
from pneumoctl.plan.steps import Link, Step
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack import inventory
from pneumoctl.stack.journal import Journal
from pneumoctl.targets.aws.configuration import restore
from pneumoctl.targets.common import health
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED, MODEL, NEW, OUTPUTS

LINKS = {
    name: {**links, "api/previous": "releases/r0"} if "app" in name else links for name, links in CURRENT_LINKS.items()
}
HOSTS = {host.name: host for host in DESIRED.inventory.hosts}
# Three API hosts, of which two are switched at the same time.
THREE = replace(
    DESIRED,
    settings=replace(DESIRED.settings, batch="2"),
    inventory=inventory.from_outputs(
        {**OUTPUTS, "app-2": {**OUTPUTS["app-1"], "private_ip": "10.20.1.20"}}, "198.51.100.1"
    ),
    releases={**DESIRED.releases, "app-2": NEW},
    models={**DESIRED.models, "app-2": MODEL},
)
THREE_LINKS = {**LINKS, "app-2": LINKS["app-1"]}


class OnHost:
    """A host whose links follow the steps, unless the step of that title fails."""

    def __init__(self, links: dict[str, str], fails: str = "", only_new: bool = True) -> None:
        self.links, self.fails, self.only_new = dict(links), fails, only_new

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        return [
            not step.done_if or any(self.links.get(path) != target for path, target in _links(step)) for step in steps
        ]

    def now(self) -> dict[str, str]:
        """What the links point to."""
        return self.links

    def act(self, step: Step) -> tuple[str, Output]:
        new = ("api/current", "releases/r2") in _links(step) or ("web/current", "releases/r2") in _links(step)
        if step.title == self.fails and (new or not self.only_new):
            return "failed", Output(1, "", "not ready")
        self.links.update(_links(step))
        return "done", Output(0, "", "")


class LostLink(OnHost):
    """A host whose link is lost while it switches; the step goes on there, and what is asked next waits for its end."""

    def __init__(self, links: dict[str, str], answers: bool, switches: bool = True) -> None:
        super().__init__(links)
        self.answers, self.switches = answers, switches
        self.going_on: list[tuple[str, str]] | None = None

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        if self.going_on is not None and not self.answers:
            raise Unreachable(HOSTS["app-1"], "connecting", "no route")
        return super().pending(steps)

    def act(self, step: Step) -> tuple[str, Output]:
        if step.gate and self.going_on is None:
            self.going_on = _links(step) if self.switches else []
            raise Unreachable(HOSTS["app-1"], "running a command", "the connection was lost")
        self.end()
        return super().act(step)

    def end(self) -> None:
        """The lost step ends."""
        if self.going_on is not None:
            self.links.update(self.going_on)
            self.going_on = []

    def now(self) -> dict[str, str]:
        """What the links point to."""
        self.pending(())
        return self.links


class Front:
    """The operator's machine, where the proof fails for the first so many times."""

    def __init__(self, fails: int, error: PneumoError | None = None) -> None:
        self.fails, self.error = fails, error or health.failed("the page answered 500")

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        return [True for _ in steps]

    def act(self, step: Step) -> tuple[str, Output]:
        self.fails -= 1
        if self.fails >= 0:
            raise self.error
        return "done", Output(0, "{}", "")


def _links(step: Step) -> list[tuple[str, str]]:
    return [
        (action.path.removeprefix("/srv/pneumoctl/"), action.target)
        for action in step.actions
        if isinstance(action, Link)
    ]


class Run:
    """Deploys all releases of DESIRED to these hosts."""

    def __init__(
        self,
        folder: Path,
        links: dict[str, dict[str, str]],
        proofs: int = 0,
        desired: DesiredState = DESIRED,
        lost: LostLink | None = None,
        proof_error: PneumoError | None = None,
        **fails: tuple[str, bool],
    ) -> None:
        self.desired: DesiredState = replace(desired, current_links=links)
        self.hosts = {
            host.name: OnHost(links.get(host.name, {}), *fails.get(host.name.replace("-", "_"), ()))
            for host in desired.inventory.hosts
        }
        if lost:
            self.hosts["app-1"] = lost
        self.journal = Journal(folder / "journal", "test")
        plan = rollout.Plan("p", tuple(releases.steps(self.desired)))
        runners: dict[str, StepRunner] = {**self.hosts, OPERATOR: Front(proofs, proof_error)}
        todo = rollout.pending(plan, runners)
        plan = replace(plan, steps=(*plan.steps, configure.proof(plan)))
        self.result: Result = rollout.roll_out(plan, runners, todo, self.journal, lambda *_: None)
        self.restore(runners)

    def restore(self, runners: dict[str, StepRunner]) -> None:
        """Restore what `result` switched."""
        self.restored = restore.after(
            self.result, self.desired, runners, self.journal, lambda *_: None, lambda host: self.hosts[host.name].now()
        )

    def error(self) -> PneumoError:
        with pytest.raises(PneumoError) as caught:
            self.result.done += self.restored.done
            rollout.raise_for(self.result, "pneumoctl up", self.restored.lines, not self.restored.complete)
        return caught.value

    def serving(self) -> dict[str, set[str]]:
        """The releases that serve, by kind."""
        kinds: dict[str, set[str]] = {}
        for host in self.hosts.values():
            for link, target in host.links.items():
                if link.endswith("/current"):
                    kinds.setdefault(link.partition("/")[0], set()).add(target.removeprefix("releases/"))
        return kinds


OLD = {"api": {"r1"}, "web": {"r1"}, "model": {"m-1"}}
SWITCHED = {"api": {"r2"}, "web": {"r2"}, "model": {"m-2"}}


def test_without_a_failure_nothing_is_restored(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS)
    assert run.serving() == SWITCHED and run.restored == restore.Restored()


def test_releases_that_fail_the_proof_are_taken_back_and_the_proof_is_repeated(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, proofs=1)
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "the page answered 500" in error.message and "app-0 serves api r1 and model m-1 again" in error.message
    assert error.message.endswith("the test prediction passes with these releases")


def test_a_later_rollback_returns_to_what_it_would_have_returned_to(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, proofs=1)
    assert {run.hosts[name].links["api/previous"] for name in ("app-0", "app-1")} == {"releases/r0"}


def test_a_cause_that_is_not_the_release_is_told_from_it(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, proofs=2)
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert error.message.count("the page answered 500") == 2 and "passes" not in error.message


def test_a_host_that_was_switched_before_another_failed_is_switched_back(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS, app_1=("Serve the API on app-1", True))
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "app-0 serves api r1" in error.message and "app-1 serves" not in error.message
    titles = [one for one in error.details["changed"] if "Serve" in one]  # type: ignore[attr-defined]
    assert titles == ["app-0: Serve the API on app-0"] * 2  # there and back


def test_hosts_that_serve_different_releases_are_partly_done(tmp_path: Path) -> None:
    """app-0 was switched, and cannot be switched back."""
    run = Run(tmp_path, LINKS, proofs=1)
    switched = run.hosts["app-0"].links | {"api/current": "releases/r2", "model/current": "releases/m-2"}
    run.hosts["app-0"] = OnHost(switched, "Serve the API on app-0", False)
    run.restore({**run.hosts, OPERATOR: Front(0)})
    error = run.error()
    assert error.code == Exit.PARTLY and "app-0 does not serve api r1 and model m-1 again" in error.message
    assert "passes" not in error.message


def test_at_the_first_up_there_is_no_release_to_return_to(tmp_path: Path) -> None:
    run = Run(tmp_path, {name: {} for name in LINKS}, proofs=1)
    error = run.error()
    assert run.serving() == SWITCHED and error.code == Exit.GATE_FAILED
    assert error.message.endswith("app-0, app-1, web-0, web-1 served nothing before: the new release stays there")


def test_a_new_host_beside_restored_ones_is_partly_done(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS | {"app-1": {}}, proofs=1)
    error = run.error()
    assert error.code == Exit.PARTLY and "app-1 served nothing before: the new release stays there" in error.message
    assert run.serving()["api"] == {"r1", "r2"}


def test_a_new_configuration_is_no_new_release(tmp_path: Path) -> None:
    served = {
        name: {**links, **{link: target.replace("1", "2") for link, target in links.items()}}
        for name, links in CURRENT_LINKS.items()
    }
    desired = replace(DESIRED, current_links=served)
    done = [("app-0", Step("Serve the API on app-0", ("app-0",), (), id="serve app-0"))]
    failure = rollout.Failure("app-1", done[0][1], health.failed("not ready"))
    assert restore.switched(desired, Result(done=done, failures=[failure])) == []


FAILS = ("Serve the API on app-0", True)


def test_a_host_that_was_lost_while_it_switched_may_serve_the_release_that_was_taken_back(tmp_path: Path) -> None:
    lost = LostLink(THREE_LINKS["app-1"], answers=False)
    run = Run(tmp_path, THREE_LINKS, desired=THREE, lost=lost, app_0=FAILS)
    error = run.error()
    assert error.code == Exit.PARTLY and "what serves on app-1 is not known" in error.message
    assert "again" not in error.message and "passes" not in error.message


@pytest.mark.parametrize("switches", [True, False])
def test_a_lost_host_that_answers_again_is_switched_back_after_the_lost_step(tmp_path: Path, switches: bool) -> None:
    lost = LostLink(THREE_LINKS["app-1"], answers=True, switches=switches)
    run = Run(tmp_path, THREE_LINKS, desired=THREE, lost=lost, app_0=FAILS)
    lost.end()
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "app-1 serves api r1 and model m-1 again" in error.message


def test_a_new_host_that_was_lost_may_serve_or_not(tmp_path: Path) -> None:
    lost = LostLink({}, answers=True)
    run = Run(tmp_path, THREE_LINKS | {"app-0": {}, "app-1": {}}, desired=THREE, lost=lost, app_0=FAILS)
    error = run.error()
    assert error.code == Exit.PARTLY and "what serves on app-1 is not known" in error.message


def test_hosts_that_serve_different_releases_are_named(tmp_path: Path) -> None:
    """They did so before the command, which failed on its first host and changed nothing."""
    links = LINKS | {"app-1": LINKS["app-1"] | {"api/current": "releases/r0"}}
    error = Run(tmp_path, links, app_0=FAILS).error()
    assert error.code == Exit.PARTLY
    assert "hosts serve different releases of api: r1 on app-0; r0 on app-1" in error.message


DEPLOYED = {
    "api/current": "releases/r2",
    "api/previous": "releases/r1",
    "model/current": "releases/m-2",
    "model/previous": "releases/m-1",
}


def test_hosts_that_an_interrupted_deploy_has_switched_are_switched_back(tmp_path: Path) -> None:
    run = Run(tmp_path, LINKS | {"app-0": DEPLOYED}, app_1=("Serve the API on app-1", True))
    error = run.error()
    assert run.serving() == OLD and error.code == Exit.GATE_FAILED
    assert "app-0 serves api r1 and model m-1 again" in error.message
    assert run.hosts["app-0"].links["api/previous"] == "releases/r1"  # a rollback does not return to the failed one


def test_a_host_returns_only_to_a_release_that_the_others_serve(tmp_path: Path) -> None:
    """app-0 has the new release for long; the release before it there is not the one of app-1."""
    deployed = DEPLOYED | {"api/previous": "releases/r0", "model/previous": "releases/m-0"}
    run = Run(tmp_path, LINKS | {"app-0": deployed}, app_1=("Serve the API on app-1", True))
    error = run.error()
    assert error.code == Exit.PARTLY and deployed.items() <= run.hosts["app-0"].links.items()
    assert "hosts serve different releases of api: r2 on app-0; r1 on app-1" in error.message


def test_a_release_that_the_command_does_not_change_is_left_as_it_is(tmp_path: Path) -> None:
    """A deploy of the web page: each API host keeps what it serves, also where they differ."""
    kept = {"app-0": Code("r2"), "app-1": Code("r1")}
    models = {"app-0": Model("m-2"), "app-1": Model("m-1")}
    desired = replace(DESIRED, releases={**DESIRED.releases, **kept}, models=models)
    run = Run(tmp_path, LINKS | {"app-0": DEPLOYED}, proofs=1, desired=desired)
    assert run.error().code == Exit.GATE_FAILED
    assert run.hosts["app-0"].links == DEPLOYED and run.serving()["web"] == {"r1"}


def test_a_proof_that_cannot_be_made_takes_nothing_back_and_finds_nothing(tmp_path: Path) -> None:
    unknown = PneumoError("which model the API on app-0 runs is not known")
    run = Run(tmp_path, LINKS, proof_error=unknown, proofs=1)
    assert run.serving() == SWITCHED and run.error().code == Exit.PARTLY
    run = Run(tmp_path, LINKS, proofs=1)
    run.restore({**run.hosts, OPERATOR: Front(1, unknown)})
    assert "the test prediction could not be made with these releases: which model" in run.error().message
