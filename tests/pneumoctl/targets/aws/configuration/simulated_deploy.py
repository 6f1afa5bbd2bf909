"""A deploy to hosts that are simulated: steps that fail, links that are lost, a proof that fails."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import DesiredState
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


FAILS = ("Serve the API on app-0", True)


DEPLOYED = {
    "api/current": "releases/r2",
    "api/previous": "releases/r1",
    "model/current": "releases/m-2",
    "model/previous": "releases/m-1",
}
