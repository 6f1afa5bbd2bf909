"""A prediction as a line of CSV, for the command line and the web page: a spreadsheet evaluates no cell of it."""

import csv
import io
import re
from collections.abc import Iterable

from model.serving import words
from model.serving.prediction import Prediction

COLUMNS = (
    "file",
    "finding",
    "probability",
    "threshold",
    "refusal_code",
    "refusal_reason",
    "error",
    "model",
    "version",
    "id",
    "created",
    "caution_codes",
    "cautions",
    "operating_point",
    "words",
)
BOM = "\ufeff"  # begins a file for people: without it Excel does not read UTF-8 as such; not a stream for programs
REVIEW_COLUMNS = ("review", "review_contradicts_model", "review_error", "reviewed_by")  # of a stored result
SOURCE_COLUMNS = ("folder", "study")  # of a stored result
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - spreadsheets take the wide ones for the others
# Where the cell of a spreadsheet begins that separates by semicolons or tabs: it knows no quotes within a cell.
_INNER_FORMULA = re.compile(r'([;|\t\r\n][\s"]*)(?=[=+\-@＝＋－＠])')  # noqa: RUF001


def line(cells: Iterable[object]) -> str:
    """One line of CSV (RFC 4180) with its CRLF.

    Text that a spreadsheet would evaluate as a formula is prefixed with an apostrophe, also after a semicolon, a tab or
    a line break, which begins a cell where a spreadsheet does not separate by commas.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(_escaped(cell) for cell in cells)
    return out.getvalue()


def cells(file: str | None, document: Prediction | None, error: str | None = None) -> list[object]:
    """The cells of COLUMNS for a file with a prediction, or with an error; with both if its report is missing."""
    if document is None:
        row: dict[str, object] = {"file": file, "error": error}
        return [row.get(name) for name in COLUMNS]
    refusal, point = document["refusal"], document["operating_point"]
    return [
        file,
        document["finding"],
        document["probability"],
        document["threshold"],
        refusal["code"] if refusal is not None else None,
        refusal["reason"] if refusal is not None else None,
        error,
        document["model"]["name"],
        document["model"]["version"],
        document["id"],
        document["created"],
        " ".join(caution["code"] for caution in document["cautions"]),
        " ".join(caution["sentence"] for caution in document["cautions"]),
        point["name"] if point is not None else None,
        words.finding(document) if document["refusal"] is None else None,
    ]


def damaged_cells(identifier: str, error: str) -> list[object]:
    """The cells of COLUMNS for a stored result that cannot be read."""
    row = {"id": identifier, "error": error}
    return [row.get(name) for name in COLUMNS]


def review_cells(
    label: str | None, contradicts: bool, error: str | None = None, who: str | None = None
) -> list[object]:
    """The cells of REVIEW_COLUMNS for the review that counts, or why it is not known. `who`: None if not recorded."""
    if error is not None or label is None:
        return [None, None, error, None]
    return [label, "yes" if contradicts else "no", None, who or "not recorded"]


def _escaped(cell: object) -> object:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return cell
    clean = _INNER_FORMULA.sub(r"\1'", cell.encode("utf-8", "replace").decode())
    return f"'{clean}" if clean.lstrip(" ").startswith(_FORMULA) else clean
