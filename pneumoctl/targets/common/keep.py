"""What a teardown exports before it removes a stack, and where to."""

import glob
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import archive
from pneumoctl.stack.stack import Stack, exports

# everything: results and files (model bundles; aws: the whole bucket); results: not the files; nothing: --purge.
Keep = Literal["everything", "results", "nothing"]
# The folders within an export: of the results, and of the bucket's files, whose keys may begin with any name.
RESULTS, FILES = "results", "bucket"


def keep(purge: bool, results_only: bool) -> Keep:
    """What the options of `teardown` say. Raises PneumoError (usage) if they contradict."""
    if purge and results_only:
        message = "--purge and --results-only contradict each other: one exports nothing, the other the results"
        raise PneumoError(message, "give one of them", Exit.USAGE)
    return "nothing" if purge else "results" if results_only else "everything"


def new_folder(stack: Stack) -> Path:
    """A new folder for every attempt: an earlier export is never overwritten."""
    return exports() / f"{stack.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def remove_interrupted(stack: Stack) -> None:
    """Remove what killed exports of earlier teardowns left: parts of results that no import accepts."""
    for folder in exports().glob(f"{glob.escape(stack.name)}-*"):
        parts = archive.leftovers(folder / RESULTS)
        ours = re.fullmatch(r"\d{8}T\d{6}Z", folder.name.removeprefix(f"{stack.name}-"))
        if ours and folder.is_dir() and all(path in parts for path in folder.iterdir()):
            shutil.rmtree(folder)


def not_exported(what: str, code: int) -> str:
    """The beginning of an error. Exit code 6: damaged parts are missing, and the message says where all others are."""
    return f"{what} were not {'all ' if code == Exit.PARTLY else ''}exported"


def exported_lines(folder: Path | None, results: Path | None, summary: str) -> list[str]:
    """What a teardown has exported, as text: `summary` of the results to `results`, and all of it to `folder`."""
    lines = [f"exported {summary} to {results}"] if results else []
    return [*lines, f"the whole export is in {folder}"] if folder else lines


def exported_document(folder: Path | None, results: Path | None) -> dict[str, Any]:
    """The same as JSON values: `exported` is what `results import` takes."""
    return {"exported": results, "exported_folder": folder}
