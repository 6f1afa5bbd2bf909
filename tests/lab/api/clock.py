"""Run the EventBridge schedules that are due; moto only stores them.

Only what the stack uses is implemented: one-time `at(...)` schedules with the universal target ec2:stopInstances or
ec2:terminateInstances. A schedule acts as its role. The role must exist, trust the scheduler, and be allowed the
action on instances with these tags.
"""

import json
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.lab.api.iam.roles import allows, trusts

ACTIONS = {"aws-sdk:ec2:stopInstances": "StopInstances", "aws-sdk:ec2:terminateInstances": "TerminateInstances"}
PERIOD = 0.25  # seconds between two checks


@dataclass(frozen=True)
class ScheduleRun:
    """A schedule that was due. `outcome`: `ok`, or why nothing was done."""

    time: str
    schedule: str
    instances: tuple[str, ...]
    outcome: str


class Clock:
    def __init__(self) -> None:
        self._ahead = 0.0
        self._runs: list[ScheduleRun] = []
        self._executed: set[tuple[str, float, str]] = set()

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward for schedules only; calls, tags and launch times keep the real time."""
        self._ahead += seconds

    def report(self) -> dict[str, Any]:
        return {"now": _text(self.now()), "fired": [asdict(schedule_run) for schedule_run in self._runs]}

    def start(self, lock: threading.RLock) -> None:
        threading.Thread(target=self._loop, args=(lock,), daemon=True, name="clock").start()

    def _loop(self, lock: threading.RLock) -> None:
        while True:
            time.sleep(PERIOD)
            with lock:
                self.run_due_schedules()

    def run_due_schedules(self) -> None:
        """Run the enabled one-time schedules that are due, each once."""
        from moto.scheduler.models import scheduler_backends

        for _, region, backend in list(scheduler_backends.iter_backends()):
            for group in list(backend.schedule_groups.values()):
                for schedule in list(group.schedules.values()):
                    version = (schedule.arn, schedule.last_modified_date, schedule.schedule_expression)
                    if version not in self._executed and self._due(schedule):
                        self._executed.add(version)
                        self._runs.append(_run_schedule(region, group, schedule, self.now()))
                        if schedule.action_after_completion == "DELETE":
                            group.schedules.pop(schedule.name)

    def _due(self, schedule: Any) -> bool:
        due = parse_at(schedule.schedule_expression, schedule.schedule_expression_timezone)
        return schedule.state == "ENABLED" and due is not None and due <= self.now()


def parse_at(expression: str, timezone: str) -> float | None:
    """The time of `at(2026-11-22T10:00:00)` in seconds since the epoch; None for another kind of expression."""
    if not expression.startswith("at("):
        return None
    return datetime.fromisoformat(expression[3:-1]).replace(tzinfo=ZoneInfo(timezone)).timestamp()


def _run_schedule(region: str, group: Any, schedule: Any, now: float) -> ScheduleRun:
    from moto.core.exceptions import ServiceException
    from moto.ec2.models import ec2_backends

    instance_ids = tuple(json.loads(schedule.target.get("Input") or "{}").get("InstanceIds", ()))
    backend = ec2_backends[group.arn.split(":")[4]][region]
    action = ACTIONS.get(schedule.target["Arn"].split(":::")[-1], "")
    outcome = _refusal(group, schedule, instance_ids, backend, action)
    if not outcome:
        try:
            (backend.stop_instances if action == "StopInstances" else backend.terminate_instances)(list(instance_ids))
            outcome = "ok"
        except ServiceException as reason:
            outcome = str(reason)
    return ScheduleRun(_text(now), schedule.arn, instance_ids, outcome)


def _refusal(group: Any, schedule: Any, instances: tuple[str, ...], backend: Any, action: str) -> str:
    """Why the role may not call the target; empty if it may."""
    if not action:
        return f"the lab's scheduler cannot do {schedule.target['Arn']}"
    role = schedule.target["RoleArn"]
    if not trusts(role, "scheduler.amazonaws.com", group.arn):
        return f"{role} is missing or does not trust the scheduler"
    for instance in instances:
        arn = f"arn:aws:ec2:{backend.region_name}:{backend.account_id}:instance/{instance}"
        if not allows(role, f"ec2:{action}", arn, backend.tags.get(instance, {})):
            return f"{role} is not allowed ec2:{action} on {arn}"
    return "" if instances else "no InstanceIds in the target's Input"


def _text(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")
