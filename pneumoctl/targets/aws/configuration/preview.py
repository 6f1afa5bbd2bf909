"""What a command would change on the hosts, as text and as a document. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoctl.errors import Exit
from pneumoctl.plan.steps import Step
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.secrets import NoSecrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import change, desired
from pneumoctl.targets.aws.configuration.change import Task


@dataclass(frozen=True)
class Preview:
    """The steps that are pending on the hosts.

    steps: the lines of the plan. differences: those of the files that differ. unknown: host -> why it cannot be asked.
    erased: a line on the results that the API then erases; none if it erases nothing.
    """

    steps: tuple[str, ...]
    differences: tuple[str, ...]
    todo: Mapping[str, list[Step]]
    unknown: Mapping[str, str]
    erased: tuple[str, ...] = ()

    @property
    def changes(self) -> list[dict[str, str]]:
        """Each pending step with its host."""
        return [{"host": name, "step": step.title} for name, steps in self.todo.items() for step in steps]

    @property
    def code(self) -> Exit:
        """3 if something is pending, else 1 if a host could not be asked."""
        if self.changes:
            return Exit.CHANGES
        return Exit.FAILED if self.unknown else Exit.DONE

    @property
    def lines(self) -> tuple[str, ...]:
        """The text for a person."""
        unknown = (f"what would change on {name} is not known: {reason}" for name, reason in self.unknown.items())
        return (*self.steps, *self.erased, *self.differences, *unknown)

    def document(self) -> dict[str, Any]:
        """The JSON value."""
        return {
            "changes": self.changes,
            "erased": list(self.erased),
            "differences": list(self.differences),
            "unknown": dict(self.unknown),
        }


NOTHING = Preview((), (), {}, {})  # there are no hosts yet


def preview(settings: Settings, stack: Stack, task: Task) -> Preview:
    """What a task would change. Raises PneumoError if a host shows another key than the pinned one."""
    try:
        with ssh_hosts.opened(stack, task.hosts, change=False) as hosts:
            ours = desired.available_releases(settings, task.source)
            desired_state, plan, todo = change.planned(settings, stack, hosts, task, ours)
            unknown = {name: error.message for name, error in hosts.unreachable.items()}
            steps = [] if unknown and not any(todo.values()) else change.description(plan, todo)
            steps += change.ended_login(desired_state)
            erased = tuple(change.erased(settings, stack, todo))
            return Preview(tuple(steps), tuple(hosts.differences(todo)), todo, unknown, erased)
    except Unreachable as error:
        return Preview((), (), {}, {str(error.details["host"]): error.message})
    except (NoSecrets, Damaged) as error:
        return Preview((), (), {}, {"the hosts": error.message})
