"""The words of a finding follow its operating point and never promise more than was measured."""

from typing import Any

import pytest

from model.serving import words
from tests.predictions import FINDING, NEGATIVE, POINT, RATE


def at(document: dict[str, Any], **rates: float) -> Any:
    measured = {name: RATE | {"value": value} for name, value in rates.items()}
    return document | {"operating_point": POINT | {"validation": measured}}


BELOW = "below the balanced operating point"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (NEGATIVE, f"{BELOW}: sensitivity .97 on validation"),
        (FINDING, "at or above the balanced operating point: specificity .99 on validation"),
        (at(NEGATIVE, sensitivity=0.99999, specificity=0.5), f"{BELOW}: sensitivity .99 on validation"),
        (at(NEGATIVE, sensitivity=1.0, specificity=0.5), f"{BELOW}: sensitivity 1.00 on validation"),
        (at(NEGATIVE, sensitivity=0.29, specificity=0.5), f"{BELOW}: sensitivity .29 on validation"),
        (NEGATIVE | {"operating_point": POINT | {"validation": None}}, BELOW),
        (
            NEGATIVE | {"operating_point": POINT | {"name": "other", "validation": None}},
            "below the other operating point",
        ),
        (NEGATIVE | {"operating_point": None}, "below the threshold"),
        (FINDING | {"operating_point": None}, "at or above the threshold"),
    ],
)
def test_a_finding_in_words(document: Any, text: str) -> None:
    assert words.finding(document) == text


def on_both(document: dict[str, Any], validation: float | None, test: float | None) -> Any:
    """The document with the same sensitivity and specificity for each part; None if nothing was measured."""
    rates = [None if value is None else RATE | {"value": value} for value in (validation, test)]
    parts = [{"sensitivity": rate, "specificity": rate} for rate in rates]
    return document | {"operating_point": POINT | dict(zip(("validation", "test"), parts, strict=True))}


@pytest.mark.parametrize(
    ("validation", "test", "text"),
    [
        (0.98, 0.782, ".78 on test"),
        (0.782, 0.98, ".78 on validation"),
        (0.9, 0.9, ".90 on validation"),
        (0.98, None, ".98 on validation"),
        (None, 0.782, ".78 on test"),
    ],
)
def test_the_words_use_the_lower_of_both_parts_and_name_it(
    validation: float | None, test: float | None, text: str
) -> None:
    assert words.finding(on_both(NEGATIVE, validation, test)) == f"{BELOW}: sensitivity {text}"
    assert words.finding(on_both(FINDING, validation, test)).endswith(f" operating point: specificity {text}")


def test_nothing_measured_gives_no_figure() -> None:
    assert words.finding(on_both(NEGATIVE, None, None)) == BELOW


def test_figures_have_intervals_for_each_part_that_was_measured() -> None:
    assert list(words.figures(POINT | {"test": {"sensitivity": None, "specificity": RATE}})) == [
        "On validation: sensitivity 0.970 (0.950 to 0.990, n = 400), specificity 0.999 (0.950 to 0.990, n = 400).",
        "On test: sensitivity not measured, specificity 0.970 (0.950 to 0.990, n = 400).",
    ]
    assert list(words.figures(POINT | {"validation": None})) == []


@pytest.mark.parametrize(
    ("value", "other", "shown"),
    [
        (0.25, 0.5, "0.250"),
        (0.0, 0.5, "0.000"),
        (1.0, 0.5, "1.000"),
        (0.99999, 0.5, "> 0.999"),
        (0.00001, 0.5, "< 0.001"),
        (0.5, 0.5, "0.500"),
        (0.64151, 0.641551, "0.641510"),
        (0.641551, 0.64151, "0.641551"),
    ],
)
def test_a_probability_is_never_rounded_to_certainty_or_to_its_threshold(
    value: float, other: float, shown: str
) -> None:
    assert words.probability(value, other) == shown
