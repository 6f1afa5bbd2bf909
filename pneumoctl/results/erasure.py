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
_STUDY = re.compile("[A-Z2-7]{12}")


@dataclass(frozen=True)
class Erased:
    """What became of each id: `erased` now, erased `before`, or `unknown`, also because it has expired.

    `still_in_file`: why the file of Redis on the disk may still hold what is erased; None if it does not.
    `failed`: those that were left when the store failed, for the `reason`; the first of them may be erased.
    """

    erased: Sequence[str]
    before: Sequence[str]
    unknown: Sequence[str]
    failed: Sequence[str] = ()
    reason: PneumoError | None = None
    still_in_file: str | None = None


def checked(identifiers: Sequence[str]) -> list[str]:
    """The ids in small letters, each once. Raises PneumoError (usage) if one of them is no id."""
    small = list(dict.fromkeys(each.strip().lower() for each in identifiers))
    if wrong := [each for each in small if not _ID.fullmatch(each)]:
        message = f"not the id of a result, which has 32 digits of 0-9 and a-f: {', '.join(wrong)}"
        raise PneumoError(message, "copy the id from the page of the result, under Details", Exit.USAGE)
    return small


def checked_study(pseudonym: str) -> str:
    """The pseudonym of a study in capital letters. Raises PneumoError (usage) if it is none."""
    study = pseudonym.strip().upper()
    if not _STUDY.fullmatch(study):
        message = f"not the pseudonym of a study, which has 12 of the letters A to Z and 2 to 7: {pseudonym}"
        raise PneumoError(message, "copy it from the page of a result of the study", Exit.USAGE)
    return study


@dataclass(frozen=True)
class Films:
    """The ids of the results of a study, and how many damaged records may belong to it, too."""

    ids: list[str]
    damaged: int


def films(store: ResultStore, study: str) -> Films:
    """The results of a study. Raises PneumoError if there is none."""
    found = Films(**json.loads(transfer.run(store, program.ERASE, ("--study", study))))
    if not found.ids:
        message = f"no stored result is of study {study}"
        raise PneumoError(message, "copy the study from the page of one of its results")
    return found


def erased(store: ResultStore) -> set[str]:
    """The ids of the results that were erased and are not stored. Raises PneumoError."""
    return {*json.loads(transfer.run(store, program.ERASE, ("--list",)))["before"]}


def erase(store: ResultStore, identifiers: Sequence[str], rewriter: str, actor: str) -> Erased:
    """Erase results with their pictures, heat maps and reviews, also from the file of Redis, which is written anew.

    `rewriter`: the password of the user of Redis that may order that. `actor`: who erases, for the trail.

    Raises PneumoError if none is known to be erased; it says so if the program was cut off, so that some may be.
    """
    order = json.dumps({"ids": list(identifiers), "rewriter": rewriter, "actor": actor}).encode() + b"\n"
    out = BytesIO()
    try:
        code, stderr = store.run(program.options(program.ERASE), iter((program.archive(), order)), out)
    except PneumoError as error:
        raise _cut_off(error) from error
    reason = transfer.failure(store, code, stderr) if code else None
    try:
        outcomes = json.loads(out.getvalue())
    except ValueError:  # nothing, or a part of it
        reason = reason or transfer.failure(store, code, "its answer is incomplete")
        raise reason if code == transfer.NOTHING else _cut_off(reason) from None
    if reason and code != Exit.PARTLY:
        raise reason
    return Erased(**outcomes, reason=reason)


def _cut_off(why: PneumoError) -> PneumoError:
    """The error if the program did not say what it did."""
    message = f"{why.message}; which of the results are erased is not known"
    return PneumoError(message, f"{why.hint}; then erase them again: what is erased stays erased", why.code)
