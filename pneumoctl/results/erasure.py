"""Erase results from a store by their ids."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import program, transfer
from pneumoctl.results.transfer import ResultStore

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Erased:
    """What became of each id: `erased` now, erased `before`, or `unknown`, also because it has expired.

    `failed`: those that were left when the store failed, for the `reason`; the first of them may be erased.
    """

    erased: Sequence[str]
    before: Sequence[str]
    unknown: Sequence[str]
    failed: Sequence[str] = ()
    reason: PneumoError | None = None


def checked(identifiers: Sequence[str]) -> list[str]:
    """The ids in small letters, each once. Raises PneumoError (usage) if one of them is no id."""
    small = list(dict.fromkeys(each.strip().lower() for each in identifiers))
    if wrong := [each for each in small if not _ID.fullmatch(each)]:
        message = f"not the id of a result, which has 32 digits of 0-9 and a-f: {', '.join(wrong)}"
        raise PneumoError(message, "copy the id from the page of the result, under Details", Exit.USAGE)
    return small


def erased(store: ResultStore) -> set[str]:
    """The ids of the results that were erased and are not stored. Raises PneumoError."""
    return {*json.loads(transfer.run(store, program.ERASE, ("--list",)))["before"]}


def erase(store: ResultStore, identifiers: Sequence[str]) -> Erased:
    """Erase results with their pictures, heat maps and reviews. Raises PneumoError if none is known to be erased."""
    order = json.dumps(list(identifiers)).encode() + b"\n"
    out = BytesIO()
    code, stderr = store.run(program.options(program.ERASE), iter((program.archive(), order)), out)
    reason = transfer.failure(store, code, stderr) if code else None
    if reason and code != Exit.PARTLY:
        raise reason
    return Erased(**json.loads(out.getvalue()), reason=reason)
