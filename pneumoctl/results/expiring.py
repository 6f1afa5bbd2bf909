"""How many results a lower limit of days erases, for the plan of the command that sets it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from pneumoctl.errors import PneumoError
from pneumoctl.plan.steps import Step
from pneumoctl.results import program, transfer
from pneumoctl.results.transfer import NothingStored, ResultStore
from pneumoctl.stack.settings import Settings, erases
from pneumoctl.terminal.report import counted

_WAIT_S = "5"  # for a Redis that loads its file or hangs: a plan is only read


def lines(
    settings: Settings, todo: Iterable[Step], open_store: Callable[[], AbstractContextManager[ResultStore]]
) -> list[str]:
    """A line on what the API erases once these steps have started it; none if it erases nothing."""
    limit = erases(settings)
    if not limit or not any(limit in step.title for step in todo):
        return []
    days = f"older than {counted(settings.retention_days, 'day')}"
    try:
        with open_store() as store:
            arguments = ("--older-than", str(settings.retention_days), "--wait", _WAIT_S)
            number = int(transfer.run(store, program.EXPORT, arguments))
    except NothingStored:
        return []
    except PneumoError as error:
        return [f"results {days} are erased for good; how many is not known: {error.message}"]
    if not number:
        return [f"no stored result is {days} now"]
    return [f"{counted(number, 'result')} {days} {'is' if number == 1 else 'are'} erased for good"]
