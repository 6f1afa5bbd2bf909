"""A prediction from outside is believed only when every field fits every other."""

import json
from typing import Any

import pytest

from pneumoctl.scoring import document as answer
from webapp.ui import documents

GOOD: dict[str, Any] = {
    "id": "0" * 32,
    "file": "a.png",
    "finding": "pneumonia",
    "refusal": None,
    "probability": 0.9,
    "threshold": 0.25,
    "model": {"name": "m", "version": "v"},
    "input": {"format": "PNG", "width": 100, "height": 100},
    "created": "2026-01-01T00:00:00.000Z",
    "elapsed_ms": 3.0,
}
WELL = GOOD | {"finding": "no pneumonia", "probability": 0.1}
REFUSED = GOOD | {"finding": None, "probability": None, "refusal": {"code": "too_small", "reason": "10 x 10 pixels"}}
NAN, INFINITE = float("nan"), float("inf")

BAD: dict[str, Any] = {
    "nothing": {},
    "null": None,
    "list": [],
    "text": "pneumonia",
    "other finding": GOOD | {"finding": "normal"},
    "no finding": GOOD | {"finding": None},
    "finding as list": GOOD | {"finding": ["pneumonia"]},
    "finding below its threshold": GOOD | {"probability": 0.1},
    "no finding above its threshold": GOOD | {"finding": "no pneumonia"},
    "no finding at its threshold": WELL | {"probability": 0.25},
    "no probability": GOOD | {"probability": None},
    "probability above 1": GOOD | {"probability": 1.5},
    "probability below 0": WELL | {"probability": -0.1},
    "probability as text": GOOD | {"probability": "0.9"},
    "probability as truth": GOOD | {"probability": True},
    "probability no number": GOOD | {"probability": NAN},
    "well, no number": WELL | {"probability": NAN},
    "threshold 0": GOOD | {"threshold": 0},
    "threshold 2": WELL | {"threshold": 2},
    "threshold no number": GOOD | {"threshold": NAN},
    "threshold as text": GOOD | {"threshold": "0.25"},
    "no model": GOOD | {"model": {}},
    "no version": GOOD | {"model": {"name": "m", "version": ""}},
    "model as text": GOOD | {"model": "m"},
    "both": GOOD | {"refusal": REFUSED["refusal"]},
    "both, well": WELL | {"refusal": REFUSED["refusal"]},
    "refused with a finding": REFUSED | {"finding": "no pneumonia"},
    "refused with a probability": REFUSED | {"probability": 0.5},
    "refused without words": REFUSED | {"refusal": {}},
    "refused as text": REFUSED | {"refusal": "too small"},
    "refusal false": REFUSED | {"refusal": False},
    "short id": GOOD | {"id": "0"},
    "id as number": GOOD | {"id": 0},
    "no file": GOOD | {"file": ""},
    "no moment": GOOD | {"created": "yesterday"},
    "endless": GOOD | {"elapsed_ms": INFINITE},
    "too large a number": GOOD | {"elapsed_ms": 10**400},
    "no input": GOOD | {"input": None},
    "input without a size": GOOD | {"input": {"format": "PNG"}},
    "field missing": {key: value for key, value in GOOD.items() if key != "finding"},
    "field more": GOOD | {"diagnosis": "healthy"},
}


@pytest.mark.parametrize("document", [GOOD, WELL, REFUSED, GOOD | {"probability": 0.25}, REFUSED | {"input": None}])
def test_sound_documents_pass(document: dict[str, Any]) -> None:
    assert answer.fault(json.loads(json.dumps(document))) is None


@pytest.mark.parametrize("name", BAD)
def test_unsound_documents_do_not(name: str) -> None:
    assert answer.fault(BAD[name])


@pytest.mark.parametrize("name", BAD)
def test_page_believes_none_of_them_either(name: str) -> None:
    """The two checks are apart, because the two programs are installed apart; they must not drift."""
    if name in ("threshold 0", "too large a number"):  # the page lets 0 pass as a threshold
        return
    with pytest.raises((documents.AnswerInvalid, TypeError)):
        documents.prediction(BAD[name])
