"""What a teardown exports before it removes a stack, and where to."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.stack import Stack, exports

# everything: results and files (model bundles; aws: the whole bucket); results: not the files; nothing: --purge.
Keep = Literal["everything", "results", "nothing"]
RESULTS = "results"  # the folder of the results within an export


def keep(purge: bool, results_only: bool) -> Keep:
    """What the options of `teardown` say. Raises PneumoError (usage) if they contradict."""
    if purge and results_only:
        message = "--purge and --results-only contradict each other: one exports nothing, the other the results"
        raise PneumoError(message, "give one of them", Exit.USAGE)
    return "nothing" if purge else "results" if results_only else "everything"


def new_folder(stack: Stack) -> Path:
    """A new folder for every attempt: an earlier export is never overwritten."""
    return exports() / f"{stack.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
