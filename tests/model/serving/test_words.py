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


def test_figures_have_intervals_for_each_part_that_was_measured() -> None:
    assert list(words.figures(POINT | {"test": {"sensitivity": None, "specificity": RATE}})) == [
        "On validation: sensitivity 0.970 (0.950 to 0.990, n = 400), specificity 0.999 (0.950 to 0.990, n = 400).",
        "On test: sensitivity not measured, specificity 0.970 (0.950 to 0.990, n = 400).",
    ]
    assert list(words.figures(POINT | {"validation": None})) == []
