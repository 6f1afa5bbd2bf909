"""Format prediction documents: table rows, CSV rows, a summary, an exit code."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.serving import csv_table, words
from pneumoctl.errors import Exit
from pneumoctl.scoring.score import FileResult
from pneumoctl.terminal.report import counted

CSV_COLUMNS = csv_table.COLUMNS
_AMBER, _RED, _PLAIN = "\x1b[33m", "\x1b[31m", "\x1b[0m"
_LONGEST_NAME = 60
_NAMED = 3  # of the skipped files


class ResultTable:
    """Rows of aligned text; a row needs no other row, so it is printed as soon as its file is scored."""

    def __init__(self, files: Sequence[str], colour: bool) -> None:
        self._width = max([4, *(len(_visible(name)) for name in files)])
        self._colour = colour

    def header(self) -> str:
        """The line above the rows."""
        return self._line("FILE", "FINDING", "PROBABILITY", "THRESHOLD", "NOTE")

    def row(self, outcome: FileResult) -> str:
        """One file's line: a refusal is amber and says "not assessed", an error is red, also of what is not written."""
        document = outcome.document
        name = _visible(outcome.file)
        if document is None:
            return self._paint(_RED, self._line(name, "ERROR", "-", "-", outcome.error or ""))
        threshold = f"{document['threshold']:.3f}"
        if document["refusal"] is not None:
            note = f"{document['refusal']['code']}: {document['refusal']['reason']}"
            return self._paint(_AMBER, self._line(name, "not assessed", "-", threshold, note + _unwritten(outcome)))
        note = words.finding(document)
        note += f"; caution: {', '.join(_codes(document))}" if document["cautions"] else ""
        probability = words.probability(document["probability"], document["threshold"])
        line = self._line(name, document["finding"], probability, threshold, note + _unwritten(outcome))
        return self._paint(_RED, line) if outcome.unwritten else line

    def _line(self, name: str, finding: str, probability: str, threshold: str, note: str) -> str:
        cells = f"{name:<{self._width}}  {finding:<12}  {probability:>11}  {threshold:>9}  {note}"
        return cells.rstrip()

    def _paint(self, colour: str, line: str) -> str:
        return f"{colour}{line}{_PLAIN}" if self._colour else line


def csv_row(cells: Iterable[object]) -> str:
    """One line of CSV (RFC 4180) that ends in CR: the caller's line feed completes CRLF."""
    return csv_table.line(cells).removesuffix("\n")


def _unwritten(outcome: FileResult) -> str:
    return f"; ERROR: {outcome.unwritten}" if outcome.unwritten else ""


def csv_cells(outcome: FileResult) -> list[object]:
    """The cells of CSV_COLUMNS for one file."""
    return csv_table.cells(outcome.file, outcome.document, outcome.error or outcome.unwritten)


def summary(outcomes: Iterable[FileResult], skipped: int) -> dict[str, int]:
    """The number of files in all, by finding, not assessed, failed; and the number of skipped files."""
    counts = {"files": 0, "pneumonia": 0, "no pneumonia": 0, "not assessed": 0, "errors": 0, "skipped": skipped}
    for outcome in outcomes:
        counts["files"] += 1
        if outcome.document is None:
            counts["errors"] += 1
        else:
            counts[outcome.document["finding"] or "not assessed"] += 1
    return counts


def summary_line(counts: dict[str, int], skipped: Sequence[str] = ()) -> str:
    """The counts of `summary` as one line of text. `skipped`: the skipped files, of which the first ones are named."""
    named = {"pneumonia": "pneumonia", "no pneumonia": "below the threshold", "not assessed": "not assessed"}
    parts = [f"{counts[name]} {text}" for name, text in named.items()]
    others = f"; {counted(counts['skipped'], 'other file')} skipped" if counts["skipped"] else ""
    if skipped:
        more = [f"{len(skipped) - _NAMED} more"] if len(skipped) > _NAMED else []
        others += f": {', '.join([*map(_visible, skipped[:_NAMED]), *more])}"
    return f"{counted(counts['files'], 'file')}: {', '.join(parts)}, {counted(counts['errors'], 'error')}{others}"


def caution_lines(outcomes: Iterable[FileResult]) -> list[str]:
    """Each caution in the table once, with its sentence."""
    found = {
        (caution["code"], caution["sentence"])
        for outcome in outcomes
        if outcome.document
        for caution in outcome.document["cautions"]
    }
    return [f"caution {code}: {sentence}" for code, sentence in sorted(found)]


def _codes(document: Mapping[str, Any]) -> list[str]:
    return [caution["code"] for caution in document.get("cautions", ())]


def exit_code(counts: dict[str, int], fail_on_positive: bool, unwritten: int = 0) -> Exit:
    """1 if every file was an error; else 3 on a positive with `fail_on_positive`; else 6 if a file was not scored.

    6 also if findings are `unwritten`. A positive result takes precedence (3 over 6), because files that were not
    scored cannot change it.
    """
    if counts["files"] and counts["errors"] == counts["files"]:
        return Exit.FAILED
    if fail_on_positive and counts["pneumonia"]:
        return Exit.CHANGES
    return Exit.PARTLY if counts["not assessed"] or counts["errors"] or unwritten else Exit.DONE


def _visible(name: str) -> str:
    """A file name that is safe on a terminal: printable characters only; of a long name, the end."""
    shown = name if name.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= _LONGEST_NAME else "..." + shown[3 - _LONGEST_NAME :]
