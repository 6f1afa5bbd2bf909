"""A simulation for tests of the GPU guards: EC2, the scheduler, one GPU host and the connection to it, on one clock."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack.runs import Run, format_time
from pneumoctl.stack.stack import Stack
from pneumoctl.training import finalize, session
from pneumoctl.training.host_link import HostEvent
from pneumoctl.training.host_plan import Order
from pneumoctl.training.run_context import RunContext

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
RUN = "20261123-060000-a1b2"
HOST = "i-gpu"


@dataclass
class GpuSimulation:
    """The state of the simulation. `faults`: name of a call -> function that runs before it."""

    seconds: float = 0.0
    state: str = "stopped"
    since: float = 0.0  # when the state began
    launched: float = -86400.0
    reason: str = ""
    stopped: float = -86000.0
    armed: dict[str, Any] = field(default_factory=dict)
    scheduler_acts: bool = True
    host_acts: bool = True  # guards 2 and 3
    trains_s: float = 300.0
    began: float | None = None
    asked: bool = False
    hangs_at: float = 1e9
    ended: float | None = None
    code: int = 0
    end: dict[str, Any] | None = None
    console: str = ""
    order: Order | None = None
    host_until: float = 1e9
    disconnected: bool = False  # the connection is cut
    when_off: str = "stop"  # what EC2 does with a host that powers itself off
    faults: dict[str, Callable[[], None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def now(self) -> datetime:
        return AT + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        for _ in range(int(seconds * 2) or 1):
            self.seconds += min(seconds, 0.5)
            self.advance()

    def record_call(self, name: str) -> None:
        self.calls.append(name)
        if fault := self.faults.get(name):
            fault()

    def turn(self, state: str, reason: str = "") -> None:
        self.state, self.since = state, self.seconds
        self.reason = reason or self.reason
        if state == "stopping":
            self.stopped = self.seconds

    def advance(self) -> None:
        if self.state == "pending" and self.seconds - self.since > 5:
            self.turn("running")
        if self.state == "stopping" and self.seconds - self.since > 8:
            self.turn("stopped")
        if self.armed and self.scheduler_acts:
            until = datetime.fromisoformat(self.armed["ScheduleExpression"][3:-1]).replace(tzinfo=UTC)
            if self.now() >= until:
                self.armed = {}
                self.stop("Client.UserInitiatedShutdown")
        if self.state == "running" and self.began is not None:
            self._trains(self.seconds - self.began)

    def _trains(self, passed: float) -> None:
        hung = passed >= self.hangs_at
        if self.ended is None and not hung:
            late = self.seconds >= self.host_until and self.host_acts
            if passed >= self.trains_s or self.asked or late:
                self.ended, why = self.seconds, "done" if passed >= self.trains_s else "stopped"
                self.code = self.code if why == "done" else 143
                at = self.now().timestamp()
                self.end = self.end or {"run": RUN, "exit": self.code, "why": why, "message": "", "at": at}
        if self.ended is not None and self.host_acts and self.seconds - self.ended > 3:
            self.console += "pneumoctl-train: ended (success, 0): powering off\n"
            self.turn("stopping", "Client.InstanceInitiatedShutdown")
        if hung and self.host_acts and self.seconds >= self.host_until:
            self.console += "pneumoctl-guard: powering off: deadline\n"
            self.turn("stopping", "Client.InstanceInitiatedShutdown")

    def stop(self, reason: str) -> None:
        if self.state in ("pending", "running"):
            self.turn("stopping", reason)


class FakeAws(Aws):
    """Simulates the calls to AWS. `stop` and `states` are the real methods."""

    def __init__(self, simulation: GpuSimulation) -> None:
        self.simulation, self.region, self.profile = simulation, "eu-west-1", ""

    def identity(self) -> Account:
        return Account("123456789012", "arn:aws:iam::123456789012:user/me", asked=AT, steady=0.0)

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        simulation = self.simulation
        simulation.record_call(operation)
        match operation:
            case "create_schedule" | "update_schedule":
                simulation.armed = arguments
            case "get_schedule":
                if not simulation.armed:
                    raise PneumoError("gone", aws_code="ResourceNotFoundException")
                return dict(simulation.armed)
            case "delete_schedule":
                simulation.armed = {}
            case "start_instances":
                assert simulation.state == "stopped", "EC2 starts only what is stopped"
                assert simulation.armed, "a GPU is never started without an armed stop"
                simulation.launched = simulation.seconds
                simulation.turn("pending")
            case "describe_instance_attribute":
                return {"InstanceInitiatedShutdownBehavior": {"Value": simulation.when_off}}
            case "stop_instances":
                simulation.stop("Client.UserInitiatedShutdown")
            case _:
                raise AssertionError(operation)
        return {}

    def items(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        simulation = self.simulation
        simulation.advance()
        simulation.record_call(operation)
        if operation == "list_schedules":
            yield from [{"Name": simulation.armed["Name"]}] if simulation.armed else []
            return
        yield {"Instances": [self._described()]}

    def _described(self) -> dict[str, Any]:
        simulation = self.simulation
        stopped = AT + timedelta(seconds=simulation.stopped)
        by_itself = simulation.reason == "Client.InstanceInitiatedShutdown"  # EC2 then reports no time
        return {
            "InstanceId": HOST,
            "State": {"Name": simulation.state},
            "LaunchTime": AT + timedelta(seconds=simulation.launched),
            "StateReason": {"Code": simulation.reason},
            "StateTransitionReason": "" if by_itself else f"User initiated ({stopped:%Y-%m-%d %H:%M:%S} GMT)",
        }

    def console_output(self, instance_id: str) -> str:
        self.simulation.record_call("console")
        return self.simulation.console


class FakeLink:
    """See host_link.HostLink."""

    def __init__(self, simulation: GpuSimulation) -> None:
        self.simulation = simulation

    def wait_until_ready(self, timeout: float) -> None:
        until = self.simulation.seconds + timeout
        while self.simulation.state != "running" or self.simulation.disconnected:
            self.simulation.sleep(1)
            if self.simulation.seconds > until:
                raise PneumoError("SSH did not answer")
        self.simulation.record_call("wait_until_ready")

    def start_run(self, order: Order, seconds: Callable[[], float]) -> None:
        self.simulation.sleep(60)
        self.simulation.record_call("start_run")
        self.simulation.order, self.simulation.began = order, self.simulation.seconds
        self.simulation.host_until = self.simulation.seconds + seconds()

    def next_event(self, timeout: float) -> HostEvent | None:
        simulation = self.simulation
        simulation.sleep(timeout)
        simulation.record_call("next_event")
        if simulation.disconnected or simulation.state != "running":
            return HostEvent(lost="no answer")
        if simulation.ended is not None and simulation.seconds - simulation.ended > 3:  # seconds after its last line
            return HostEvent(ended=True, exit_code=simulation.code)
        passed = min(simulation.seconds - (simulation.began or 0.0), simulation.hangs_at)
        return HostEvent(progress={"run": RUN, "phase": "train", "counter": int(passed), "step": int(passed)})

    def stop_run(self) -> None:
        self.simulation.record_call("stop_run")
        if self.simulation.disconnected:
            raise PneumoError("no answer")
        self.simulation.asked = True

    def power_off(self) -> None:
        self.simulation.record_call("power_off")
        if self.simulation.disconnected:
            raise PneumoError("no answer")
        self.simulation.stop("Client.InstanceInitiatedShutdown")

    def close(self, release: bool = False) -> None:
        self.simulation.calls.append("close")


class FakeStore:
    """See artifacts.RunStore."""

    def __init__(self, simulation: GpuSimulation) -> None:
        self.simulation, self.written = simulation, None

    def end_report(self) -> Mapping[str, Any] | None:
        self.simulation.record_call("end_report")
        return self.simulation.end

    def last_written(self) -> datetime | None:
        simulation = self.simulation
        hung = simulation.began is not None and simulation.seconds - simulation.began >= simulation.hangs_at
        return AT if hung or simulation.began is None else simulation.now()


def run_context(simulation: GpuSimulation, folder: Path) -> RunContext:
    host = Instance(HOST, "train", "train", "stopped", "g5.xlarge", AT, "10.20.32.10", "")
    show: Callable[[Mapping[str, Any]], None] = lambda progress: simulation.shown.append(dict(progress))  # noqa: E731
    store: Any = FakeStore(simulation)
    link = FakeLink(simulation)
    stack = Stack("t", folder / "t")
    return RunContext(FakeAws(simulation), stack, host, link, store, show, simulation.notes.append, lambda _: link)


def run(hours: float = 1.0, **more: Any) -> Run:
    deadline = format_time(AT + timedelta(hours=hours))
    seconds = int(hours * 3600)
    attributes: dict[str, Any] = {"instance": HOST, "deadline": deadline, "usd_per_hour": 1.0} | more
    return Run(RUN, "t", "gpu", format_time(AT), [], 600, seconds, **attributes)


def order() -> Order:
    return Order(RUN, "t", "bucket", "eu-west-1", "f" * 64, stall_s=600)


def on_one_clock(simulation: GpuSimulation, monkeypatch: pytest.MonkeyPatch) -> GpuSimulation:
    for module in (aws_module, scheduled_stop, session, finalize):
        monkeypatch.setattr(module, "time", simulation)
    monkeypatch.setattr(scheduled_stop, "now", lambda _: simulation.now())
    return simulation
