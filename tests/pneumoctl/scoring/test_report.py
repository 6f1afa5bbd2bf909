"""The report on predictions: a picture that was not assessed never looks like a finding."""

import csv
import io
from typing import Any

import pytest

from pneumoctl.errors import Exit
from pneumoctl.scoring import report
from pneumoctl.scoring.score import FileResult
from tests.predictions import POINT


def scored(file: str, finding: str, probability: float) -> FileResult:
    return FileResult(file, document(finding, None, probability))


def document(finding: str | None, refusal: dict[str, str] | None, probability: float | None) -> dict[str, Any]:
    return {
        "id": "0" * 32,
        "file": "x",
        "finding": finding,
        "refusal": refusal,
        "probability": probability,
        "threshold": 0.25,
        "operating_point": POINT,
        "cautions": [],
        "model": {"name": "m", "version": "v"},
        "created": "2026-01-01T00:00:00.000Z",
    }


REFUSED = FileResult("r.png", document(None, {"code": "not_an_xray", "reason": "it is a cat"}, None))
FAILED = FileResult("e.png", None, "cannot be read: Permission denied")


def test_rows_line_up_and_say_what_was_found() -> None:
    outcomes = [scored("a.png", "pneumonia", 0.91234), scored("longer-name.png", "no pneumonia", 0.05), REFUSED, FAILED]
    table = report.ResultTable([outcome.file for outcome in outcomes], colour=False)
    assert [table.header(), *map(table.row, outcomes)] == [
        "FILE             FINDING       PROBABILITY  THRESHOLD  NOTE",
        "a.png            pneumonia           0.912      0.250  "
        "at or above the balanced operating point: specificity .99 on validation",
        "longer-name.png  no pneumonia        0.050      0.250  "
        "below the balanced operating point: sensitivity .97 on validation",
        "r.png            not assessed            -      0.250  not_an_xray: it is a cat",
        "e.png            ERROR                   -          -  cannot be read: Permission denied",
    ]


AGE, VIEW = {"code": "age_unknown", "sentence": "Nobody knows."}, {"code": "view_pa", "sentence": "A PA view."}


def cautioned(file: str, *cautions: dict[str, str]) -> FileResult:
    return FileResult(file, document("pneumonia", None, 0.9) | {"cautions": list(cautions)})


def test_cautions_stand_beside_the_finding_and_are_explained_once() -> None:
    outcomes = [cautioned("a.png", AGE, VIEW), cautioned("b.png", AGE), scored("c.png", "pneumonia", 0.9), FAILED]
    table = report.ResultTable(["a.png"], colour=False)
    assert table.row(outcomes[0]).endswith("specificity .99 on validation; caution: age_unknown, view_pa")
    assert table.row(outcomes[1]).endswith("on validation; caution: age_unknown")
    assert report.caution_lines(outcomes) == ["caution age_unknown: Nobody knows.", "caution view_pa: A PA view."]
    assert report.caution_lines([REFUSED, FAILED]) == []


def test_csv_has_codes_and_sentences_of_cautions() -> None:
    lines = [report.csv_row(report.CSV_COLUMNS)]
    lines += [report.csv_row(report.csv_cells(each)) for each in (cautioned("a.png", AGE, VIEW), REFUSED, FAILED)]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines), newline="")))
    assert [row["caution_codes"] for row in rows] == ["age_unknown view_pa", "", ""]
    assert [row["cautions"] for row in rows] == ["Nobody knows. A PA view.", "", ""]


def test_csv_says_a_finding_in_words() -> None:
    outcomes = [scored("a.png", "no pneumonia", 0.1), scored("b.png", "pneumonia", 0.9), REFUSED, FAILED]
    lines = [report.csv_row(report.CSV_COLUMNS), *(report.csv_row(report.csv_cells(each)) for each in outcomes)]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines), newline="")))
    assert [row["words"] for row in rows] == [
        "below the balanced operating point: sensitivity .97 on validation",
        "at or above the balanced operating point: specificity .99 on validation",
        "",
        "",
    ]


def test_refusals_are_amber_and_errors_red() -> None:
    table = report.ResultTable(["r.png"], colour=True)
    assert table.row(REFUSED).startswith("\x1b[33m") and table.row(REFUSED).endswith("\x1b[0m")
    assert table.row(FAILED).startswith("\x1b[31m")
    assert "\x1b" not in table.row(scored("a", "pneumonia", 0.9))


def test_file_names_cannot_steer_the_terminal() -> None:
    name = "a\x1b[2J\r\n\udcf6\u202e.png"
    row = report.ResultTable([name], colour=False).row(scored(name, "pneumonia", 0.9))
    assert row.startswith("a?[2J????.png  pneumonia")


def test_long_names_keep_their_end() -> None:
    name = "/ward" * 40 + "/film.png"
    row = report.ResultTable([name], colour=False).row(scored(name, "pneumonia", 0.9))
    assert row.startswith("...") and row.index("film.png") + len("film.png") == 60


def test_csv_has_a_cell_for_each_column() -> None:
    lines = [report.csv_row(report.CSV_COLUMNS)]
    for outcome in (scored('a,"b.png', "pneumonia", 0.9), REFUSED, FAILED):
        lines.append(report.csv_row(report.csv_cells(outcome)))
    text = "".join(line + "\n" for line in lines)
    assert text.count("\r\n") == 4
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["file"] for row in rows] == ['a,"b.png', "r.png", "e.png"]
    assert [row["finding"] for row in rows] == ["pneumonia", "", ""]
    assert [row["probability"] for row in rows] == ["0.9", "", ""]
    assert rows[1]["refusal_code"] == "not_an_xray" and rows[2]["error"].startswith("cannot be read")


@pytest.mark.parametrize(
    "name", ["=cmd|'/c calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\n=1", "\uff1d1"]
)
def test_csv_cells_cannot_run_as_formulas(name: str) -> None:
    line = report.csv_row(report.csv_cells(scored(name, "pneumonia", 0.9)))
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert row[0].startswith("'") and row[0].replace("'", "") == name.replace("'", "")


@pytest.mark.parametrize("name", ["a;=1+1", 'a;"=1+1"', "a; +1", "a\t@1", "a\n=1", "a\n;-1", "a;;=1"])
@pytest.mark.parametrize("separator", ";\t")
def test_csv_cells_cannot_run_where_spreadsheets_separate_by_others_than_commas(name: str, separator: str) -> None:
    line = report.csv_row(report.csv_cells(scored(name, "pneumonia", 0.9)))
    rows = list(csv.reader(io.StringIO(line, newline=""), delimiter=separator))
    cells = [cell.lstrip(' "') for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_csv_takes_names_that_are_no_unicode() -> None:
    report.csv_row(report.csv_cells(scored("r\udcf6.png", "pneumonia", 0.9))).encode()


def test_summary_counts_every_file_once() -> None:
    outcomes = [scored("a", "pneumonia", 0.9), scored("b", "no pneumonia", 0.1), REFUSED, REFUSED, FAILED]
    counts = report.summary(outcomes, skipped=3)
    assert counts == {
        "files": 5, "pneumonia": 1, "no pneumonia": 1, "not assessed": 2, "errors": 1, "skipped": 3,
    }  # fmt: skip
    assert report.summary_line(counts) == (
        "5 files: 1 pneumonia, 1 below the threshold, 2 not assessed, 1 error; 3 other files skipped"
    )
    assert report.summary_line(counts, ["a", "b", "c"]).endswith("; 3 other files skipped: a, b, c")
    counts = report.summary(outcomes, skipped=5)
    names = ["a\n", "b", "c", "d", "e"]
    assert report.summary_line(counts, names).endswith("; 5 other files skipped: a?, b, c, 2 more")


@pytest.mark.parametrize(
    ("outcomes", "fail_on_positive", "code"),
    [
        ([scored("a", "no pneumonia", 0.1)], True, Exit.DONE),
        ([scored("a", "pneumonia", 0.9)], False, Exit.DONE),
        ([scored("a", "pneumonia", 0.9)], True, Exit.CHANGES),
        ([scored("a", "pneumonia", 0.9), REFUSED], False, Exit.PARTLY),
        ([scored("a", "pneumonia", 0.9), REFUSED], True, Exit.CHANGES),
        ([scored("a", "no pneumonia", 0.1), FAILED], True, Exit.PARTLY),
        ([REFUSED], False, Exit.PARTLY),
        ([REFUSED, FAILED], False, Exit.PARTLY),
        ([FAILED], False, Exit.FAILED),
        ([FAILED, FAILED], True, Exit.FAILED),
    ],
)
def test_exit_code(outcomes: list[FileResult], fail_on_positive: bool, code: Exit) -> None:
    assert report.exit_code(report.summary(outcomes, 0), fail_on_positive) == code
