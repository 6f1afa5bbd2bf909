"""`pneumoctl model claims`: whether published figures of a classifier can be true together."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

from model.evaluation.claims import RATES, SHOWN, Claim, Counts, Verdict, check, claim
from pneumoctl.cli.invocation import output_options
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted


def _rate(name: str, text: str) -> Any:
    return typer.Option(f"--{name}", metavar="RATE", help=f"{text}, such as 0.93 or 93.2%.")


_Sensitivity = Annotated[str | None, _rate("sensitivity", "Share found of those with pneumonia (recall)")]
_Specificity = Annotated[str | None, _rate("specificity", "Share spared of those without")]
_Accuracy = Annotated[str | None, _rate("accuracy", "Share classified correctly")]
_Precision = Annotated[str | None, _rate("precision", "Share with pneumonia of those called so")]
_F1 = Annotated[str | None, _rate("f1", "Harmonic mean of precision and sensitivity")]
_Auc = Annotated[str | None, _rate("auc", "Area under the ROC curve")]
_Positives = Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Pictures with pneumonia.")]
_Negatives = Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Pictures without.")]
_Rounding = Annotated[
    Literal["nearest", "down"],
    typer.Option("--rounding", help="How the rates were rounded; down: further digits were cut off."),
]


@output_options
def claims(
    positives: _Positives,
    negatives: _Negatives,
    sensitivity: _Sensitivity = None,
    specificity: _Specificity = None,
    accuracy: _Accuracy = None,
    precision: _Precision = None,
    f1: _F1 = None,
    auc: _Auc = None,
    rounding: _Rounding = "nearest",
) -> int:
    """Check whether published figures can be true together.

    Searches all numbers of correct findings that so many pictures allow. The digits of a rate say how it was rounded:
    0.93 stands for 0.925 to 0.935. All rates but the AUC are of one threshold; the AUC is compared with the lowest and
    the highest value that is possible for a classifier with these findings at one of its thresholds.

    If the figures contradict each other, it names the smallest sets that do, and shows the counts that are nearest.

    Exit code 3: they cannot all be true.
    """
    stated = dict(zip(RATES, (sensitivity, specificity, accuracy, precision, f1, auc), strict=True))
    try:
        read = [claim(name, text, rounding) for name, text in stated.items() if text is not None]
    except ValueError as error:
        raise PneumoError(str(error), "pneumoctl model claims --help", Exit.USAGE) from error
    if not read:
        raise PneumoError("there is no rate to check", "pneumoctl model claims --help", Exit.USAGE)
    console.busy("searching the counts")  # up to a minute for 200,000 pictures
    verdict = check(positives, negatives, read)
    console.idle()
    console.result(_document(positives, negatives, read, verdict))
    for line in _lines(verdict, read):
        console.text(line)
    shown = verdict.counts or ([verdict.nearest] if verdict.nearest else [])
    console.table(("TP", "FP", "TN", "FN", *(each.name for each in read)), [_row(counts, read) for counts in shown])
    return Exit.DONE if verdict.possible else Exit.CHANGES


def _document(positives: int, negatives: int, read: list[Claim], verdict: Verdict) -> dict[str, Any]:
    stated = {each.name: {"stated": each.text, "low": float(each.low), "high": float(each.high)} for each in read}
    return {
        "positives": positives,
        "negatives": negatives,
        "claims": stated,
        "possible": verdict.possible,
        "counts": [_counts(counts) for counts in verdict.counts],
        "contradictions": [list(names) for names in verdict.contradictions],
        "nearest": _counts(verdict.nearest) | {"deviation": verdict.deviation} if verdict.nearest else None,
    }


def _counts(counts: Counts) -> dict[str, Any]:
    rates = {name: None if rate is None else float(rate) for name, rate in counts.rates().items()}
    low, high = counts.auc_bounds()
    numbers = {"tp": counts.tp, "fp": counts.fp, "tn": counts.tn, "fn": counts.fn}
    return {**numbers, **rates, "auc": {"low": float(low), "high": float(high)}}


def _lines(verdict: Verdict, read: list[Claim]) -> Iterator[str]:
    if verdict.possible:
        more = f"; the first {SHOWN}" if verdict.possible > SHOWN else ""
        yield f"These figures can be true together: {counted(verdict.possible, 'set')} of counts{more}:"
        return
    texts = {each.name: each.text for each in read}
    yield "These figures cannot be true together:"
    for names in verdict.contradictions:
        alone = " (alone)" if len(names) == 1 else ""
        yield f"- {' and '.join(f'{name} {texts[name]}' for name in names)}{alone}"
    yield f"The nearest counts; no figure is more than {verdict.deviation:.6f} beyond its rounding:"


def _row(counts: Counts, read: list[Claim]) -> list[str]:
    low, high = counts.auc_bounds()
    rates = {name: "-" if rate is None else f"{float(rate):.4f}" for name, rate in counts.rates().items()}
    rates["auc"] = f"{float(low):.4f} to {float(high):.4f}"
    return [*map(str, (counts.tp, counts.fp, counts.tn, counts.fn)), *(rates[each.name] for each in read)]
