"""The line that proves that a stack serves says where the score lies, never a bare finding."""

from typing import Any

import pytest

from pneumoctl.targets.common import ready
from tests.predictions import EARLIER, FINDING, NEGATIVE


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (NEGATIVE, "0.100 is below the balanced operating point: sensitivity .97 on validation (threshold 0.500)"),
        (FINDING, "0.700 is at or above the balanced operating point: specificity .99 on validation (threshold 0.500)"),
        (EARLIER["negative"], "0.100 is below the threshold (threshold 0.500)"),
    ],
)
def test_the_proof_says_where_the_score_lies(document: dict[str, Any], text: str) -> None:
    line = ready.proof(document, "web page")
    assert line == f"proof: a drawn radiograph through the web page: P(pneumonia) {text}, model m v1"


def test_another_model_than_the_promoted_one_is_named() -> None:
    (line,) = ready.other_model(NEGATIVE, "good-0123", "pneumoctl up")
    assert line == "m-v1 serves, not the promoted model good-0123; to serve it: pneumoctl up"
    assert ready.other_model(NEGATIVE, "m-v1", "pneumoctl up") == []
