"""Check a prediction document field by field: what is not exactly a finding or a refusal is neither."""

import math
import re
from datetime import datetime
from typing import Any

FINDINGS = ("pneumonia", "no pneumonia")
_FIELDS = {
    "id", "file", "finding", "refusal", "probability", "threshold", "model", "input", "created", "elapsed_ms",
}  # fmt: skip


def fault(document: Any) -> str | None:
    """What is wrong with a prediction document that came from outside, in a word or three; None when it is sound.

    As strict as the web page's own check of the API's answers (webapp/ui/documents.py).
    """
    try:
        checks = {
            "fields": set(document) == _FIELDS,
            "id": re.fullmatch(r"[0-9a-f]{32}", document["id"]) is not None,
            "file": _text(document["file"]),
            "created": bool(datetime.fromisoformat(document["created"])),
            "model": _text(document["model"]["name"]) and _text(document["model"]["version"]),
            "threshold": _number(document["threshold"]) and 0 < document["threshold"] < 1,
            "elapsed_ms": _number(document["elapsed_ms"]),
            "finding and refusal": (document["finding"] is None) != (document["refusal"] is None),
        }
        wrong = next((name for name, sound in checks.items() if not sound), None)
        return wrong or (_finding(document) if document["refusal"] is None else _refusal(document))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return "form"


def _finding(document: dict[str, Any]) -> str | None:
    probability, size = document["probability"], document["input"]
    if document["finding"] not in FINDINGS:
        return "finding"
    if not _number(probability) or not 0 <= probability <= 1:
        return "probability"
    if (document["finding"] == "pneumonia") != (probability >= document["threshold"]):
        return "finding against its probability"
    return None if _number(size["width"]) and _number(size["height"]) else "input"


def _refusal(document: dict[str, Any]) -> str | None:
    if document["probability"] is not None:
        return "probability of a refusal"
    told = document["refusal"]
    return None if _text(told["code"]) and _text(told["reason"]) else "refusal"


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
