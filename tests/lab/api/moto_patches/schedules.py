"""EventBridge Scheduler: refuse invalid schedules, store updates. The module `clock` runs the schedules."""

from typing import Any

from moto.scheduler.exceptions import ScheduleGroupNotFound, ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend
from moto.scheduler.responses import EventBridgeSchedulerResponse

from tests.lab.api.clock import parse_at
from tests.lab.api.iam.roles import trusts
from tests.lab.api.moto_patches.patch import replaces

UNTRUSTED = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."


@replaces(EventBridgeSchedulerBackend, "create_schedule")
def create(original: Any, self: Any, **options: Any) -> Any:
    """Refuse an untrusted role, an invalid expression and an unknown group.

    (moto accepts any role and expression, and crashes for an unknown group.)
    """
    group = self.schedule_groups.get(options["group_name"] or "default")
    if group is None:
        raise ScheduleGroupNotFound(options["group_name"])
    _check(group, options)
    return original(self, **options)


@replaces(EventBridgeSchedulerBackend, "update_schedule")
def update(original: Any, self: Any, **options: Any) -> Any:
    """Refuse an untrusted role and an invalid expression; enable the schedule unless a state is given.

    (moto accepts any role and expression, and does not enable the schedule.)
    """
    _check(self.get_schedule_group(options["group_name"]), options)
    return original(self, **{**options, "state": options["state"] or "ENABLED"})


def _check(group: Any, options: dict[str, Any]) -> None:
    expression = options["schedule_expression"]
    try:
        valid = expression.startswith(("rate(", "cron(")) or parse_at(
            expression, options["schedule_expression_timezone"] or "UTC"
        )
    except (ValueError, KeyError):
        valid = False
    if not valid:
        raise ValidationException(f"Invalid Schedule Expression {expression}.")
    if not trusts(options["target"]["RoleArn"], "scheduler.amazonaws.com", group.arn):
        raise ValidationException(UNTRUSTED)


@replaces(EventBridgeSchedulerResponse, "update_schedule")
def keep_action(original: Any, self: Any) -> Any:
    """Store a changed ActionAfterCompletion (moto does not)."""
    result = original(self)
    schedule = self.scheduler_backend.get_schedule(self._get_param("GroupName"), self.uri.split("?")[0].split("/")[-1])
    schedule.action_after_completion = self._get_param("ActionAfterCompletion") or "NONE"
    return result
