"""`pneumoctl model claims`: table, document and exit code say the same."""

import json
from typing import Any

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit

SIZES = ("--positives", "390", "--negatives", "234")


def claims(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, dict[str, Any]]:
    """What it prints, and its document."""
    capsys.readouterr()
    assert run(["model", "claims", *words]) == code
    text = capsys.readouterr().out
    assert run(["model", "claims", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return text, document


def test_true_figures_are_possible(capsys: pytest.CaptureFixture[str]) -> None:
    text, document = claims(capsys, *SIZES, "--sensitivity", "0.990", "--specificity", "78.2%", "--auc", ".983")
    assert text.startswith("These figures can be true together: 1 set of counts:") and "386  51  183  4" in text
    assert document["possible"] == 1 and document["contradictions"] == [] and document["nearest"] is None
    (counts,) = document["counts"]
    assert (counts["tp"], counts["fp"], counts["tn"], counts["fn"]) == (386, 51, 183, 4)
    assert counts["accuracy"] == pytest.approx(569 / 624) and counts["auc"]["low"] < 0.983 < counts["auc"]["high"]
    assert document["claims"]["specificity"] == {"stated": "78.2%", "low": 0.7815, "high": 0.7825}


def test_a_contradiction_is_named_with_the_nearest_counts(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*SIZES, "--sensitivity", "0.931", "--specificity", "0.902", "--accuracy", "0.95", "--precision", "0.9")
    text, document = claims(capsys, *words, code=Exit.CHANGES)
    assert text.startswith("These figures cannot be true together:\n- ")
    assert "- sensitivity 0.931 and specificity 0.902 and accuracy 0.95\n" in text
    assert ["sensitivity", "specificity", "accuracy"] in document["contradictions"]
    nearest = document["nearest"]
    assert f"no figure is more than {nearest['deviation']:.6f} beyond" in text
    row = text.splitlines()[-1].split()
    assert row[:4] == [str(nearest[name]) for name in ("tp", "fp", "tn", "fn")]
    assert row[4] == f"{nearest['sensitivity']:.4f}"


@pytest.mark.parametrize(
    "words",
    [
        (*SIZES,),
        (*SIZES, "--auc", "1.5"),
        (*SIZES, "--auc", "much"),
        ("--positives", "0", "--negatives", "3", "--auc", "1"),
        ("--negatives", "3", "--auc", "1"),
    ],
)
def test_what_cannot_be_checked_is_a_usage_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    _, document = claims(capsys, *words, code=Exit.USAGE)
    assert document["error"]["code"] == Exit.USAGE
