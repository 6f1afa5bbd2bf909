"""Prediction documents for tests: valid ones, and for each rule at least one document that breaks it."""

from typing import Any

RATE: dict[str, Any] = {"value": 0.97, "low": 0.95, "high": 0.99, "n": 400}
POINT: dict[str, Any] = {
    "name": "balanced",
    "validation": {"sensitivity": RATE, "specificity": RATE | {"value": 0.999}},
    "test": None,
}
FINDING: dict[str, Any] = {
    "id": "0" * 32,
    "file": "a.png",
    "finding": "pneumonia",
    "refusal": None,
    "probability": 0.7,
    "threshold": 0.5,
    "operating_point": POINT,
    "cautions": [],
    "model": {"name": "m", "version": "v1"},
    "input": {"format": "PNG", "width": 100, "height": 100},
    "created": "2026-01-01T00:00:00.000Z",
    "elapsed_ms": 3.5,
}
AGE_UNKNOWN = {"code": "age_unknown", "sentence": "The file does not tell the patient's age."}
NEGATIVE = FINDING | {"finding": "no pneumonia", "probability": 0.1}
REFUSAL = FINDING | {"finding": None, "probability": None, "refusal": {"code": "too_small", "reason": "10 x 10 pixels"}}
VALID = {
    "finding": FINDING,
    "negative": NEGATIVE,
    "refusal": REFUSAL,
    "threshold by hand": FINDING | {"operating_point": None},
    "operating point without figures": FINDING | {"operating_point": POINT | {"validation": None}},
    "operating point without specificity": FINDING
    | {"operating_point": POINT | {"test": {"sensitivity": RATE, "specificity": None}}},
    "finding with cautions": FINDING | {"cautions": [AGE_UNKNOWN, {"code": "view_ap", "sentence": "An AP view."}]},
    "probability equal to the threshold": FINDING | {"probability": 0.5},
    "just below the threshold": NEGATIVE | {"probability": 0.49999},
    "probability 1 as integer": FINDING | {"probability": 1},
    "probability 0 as integer": NEGATIVE | {"probability": 0},
    "refusal of a file that could not be decoded": REFUSAL | {"input": None},
}
# As version 0.2 of this program made them: without cautions and without an operating point.
EARLIER = {
    name: {key: value for key, value in VALID[name].items() if key not in ("cautions", "operating_point")}
    for name in ("finding", "negative", "refusal")
}

NAN, INFINITY = float("nan"), float("inf")
# The prediction's schema cannot express these: a finding on the wrong side of the threshold.
CONTRADICTIONS: dict[str, Any] = {
    "pneumonia below the threshold": FINDING | {"probability": 0.1},
    "no pneumonia above the threshold": FINDING | {"finding": "no pneumonia"},
    "no pneumonia at the threshold": NEGATIVE | {"probability": 0.5},
    "threshold above the probability": FINDING | {"threshold": 0.8},
}
# JSON has no such numbers, but Python's json module reads them.
NO_JSON: dict[str, Any] = {
    "probability NaN": FINDING | {"probability": NAN},
    "probability NaN, negative": NEGATIVE | {"probability": NAN},
    "probability infinite": FINDING | {"probability": INFINITY},
    "threshold NaN": FINDING | {"threshold": NAN},
    "elapsed_ms infinite": FINDING | {"elapsed_ms": INFINITY},
    "elapsed_ms beyond any float": FINDING | {"elapsed_ms": 10**400},
}
BROKEN: dict[str, Any] = {
    "empty object": {},
    "null": None,
    "list": [],
    "list of a document": [FINDING],
    "text": "pneumonia",
    "number": 5,
    "unknown finding": FINDING | {"finding": "normal"},
    "finding in capitals": FINDING | {"finding": "Pneumonia"},
    "finding empty": FINDING | {"finding": ""},
    "finding boolean": FINDING | {"finding": True},
    "finding list": FINDING | {"finding": ["pneumonia"]},
    "finding object": FINDING | {"finding": {}},
    "neither finding nor refusal": FINDING | {"finding": None},
    "neither finding nor refusal nor probability": FINDING | {"finding": None, "probability": None},
    "finding and refusal": FINDING | {"refusal": REFUSAL["refusal"]},
    "negative and refusal": NEGATIVE | {"refusal": REFUSAL["refusal"]},
    "refusal and finding without probability": REFUSAL | {"finding": "no pneumonia"},
    "refusal with probability": REFUSAL | {"probability": 0.5},
    "refusal with probability 0": REFUSAL | {"probability": 0},
    "refusal empty object": REFUSAL | {"refusal": {}},
    "refusal text": REFUSAL | {"refusal": "too small"},
    "refusal false": REFUSAL | {"refusal": False},
    "finding with refusal false": FINDING | {"refusal": False},
    "refusal without reason": REFUSAL | {"refusal": {"code": "too_small"}},
    "refusal code empty": REFUSAL | {"refusal": {"code": "", "reason": "r"}},
    "refusal reason empty": REFUSAL | {"refusal": {"code": "too_small", "reason": ""}},
    "refusal code unknown": REFUSAL | {"refusal": {"code": "boring", "reason": "r"}},
    "probability null": FINDING | {"probability": None},
    "probability text": FINDING | {"probability": "0.7"},
    "probability boolean": FINDING | {"probability": True},
    "probability above 1": FINDING | {"probability": 1.1},
    "probability below 0": NEGATIVE | {"probability": -0.1},
    "threshold null": FINDING | {"threshold": None},
    "threshold text": FINDING | {"threshold": "0.5"},
    "threshold boolean": FINDING | {"threshold": True},
    "threshold 0": FINDING | {"threshold": 0},
    "threshold 1": FINDING | {"threshold": 1, "probability": 1},
    "threshold 2": NEGATIVE | {"threshold": 2},
    "operating point text": FINDING | {"operating_point": "balanced"},
    "operating point without name": FINDING | {"operating_point": {"validation": None, "test": None}},
    "operating point name empty": FINDING | {"operating_point": POINT | {"name": ""}},
    "operating point name of several lines": FINDING | {"operating_point": POINT | {"name": "balanced\nforged row"}},
    "operating point name with an escape": FINDING | {"operating_point": POINT | {"name": "\x1b[2Kbalanced"}},
    "operating point name too long": FINDING | {"operating_point": POINT | {"name": "a" * 31}},
    "sensitivity above 1": FINDING
    | {"operating_point": POINT | {"test": {"sensitivity": RATE | {"value": 1.1}, "specificity": None}}},
    "sensitivity text": FINDING | {"operating_point": POINT | {"test": {"sensitivity": "0.97", "specificity": None}}},
    "sensitivity of no pictures": FINDING
    | {"operating_point": POINT | {"test": {"sensitivity": RATE | {"n": 0}, "specificity": None}}},
    "cautions null": FINDING | {"cautions": None},
    "cautions text": FINDING | {"cautions": "age unknown"},
    "caution code unknown": FINDING | {"cautions": [{"code": "boring", "sentence": "s"}]},
    "caution without sentence": FINDING | {"cautions": [{"code": "age_unknown"}]},
    "caution sentence empty": FINDING | {"cautions": [{"code": "age_unknown", "sentence": ""}]},
    "caution with a value": FINDING | {"cautions": [AGE_UNKNOWN | {"age": 71}]},
    "model null": FINDING | {"model": None},
    "model text": FINDING | {"model": "m"},
    "model empty object": FINDING | {"model": {}},
    "model without version": FINDING | {"model": {"name": "m"}},
    "model name empty": FINDING | {"model": {"name": "", "version": "v1"}},
    "model version empty": FINDING | {"model": {"name": "m", "version": ""}},
    "model version number": FINDING | {"model": {"name": "m", "version": 3}},
    "input null": FINDING | {"input": None},
    "input without size": FINDING | {"input": {"format": "PNG"}},
    "input width text": FINDING | {"input": {"format": "PNG", "width": "10", "height": 10}},
    "input width boolean": FINDING | {"input": {"format": "PNG", "width": True, "height": 10}},
    "input width 0": FINDING | {"input": {"format": "PNG", "width": 0, "height": 10}},
    "input format unknown": FINDING | {"input": {"format": "GIF", "width": 10, "height": 10}},
    "id short": FINDING | {"id": "0"},
    "id path": FINDING | {"id": "../../etc/passwd"},
    "id number": FINDING | {"id": 0},
    "id null": FINDING | {"id": None},
    "file empty": FINDING | {"file": ""},
    "file null": FINDING | {"file": None},
    "file list": FINDING | {"file": ["a"]},
    "created word": FINDING | {"created": "yesterday"},
    "created number": FINDING | {"created": 5},
    "created without time zone": FINDING | {"created": "2026-01-01T00:00:00.000"},
    "elapsed_ms text": FINDING | {"elapsed_ms": "fast"},
    "elapsed_ms negative": FINDING | {"elapsed_ms": -1},
    "unknown field": FINDING | {"diagnosis": "healthy"},
    **{f"{name} missing": {key: value for key, value in FINDING.items() if key != name} for name in FINDING},
    **{f"refusal, {name} missing": {key: value for key, value in REFUSAL.items() if key != name} for name in REFUSAL},
    "id with line break": FINDING | {"id": "0" * 32 + "\n"},
}
INVALID = CONTRADICTIONS | NO_JSON | BROKEN
