"""The record of all evaluations of models on labelled folders.

Selecting models by a test set invalidates it: the figures are shown with how often these pictures were evaluated.
"""

from typing import Any

from pneumoctl.registry import store
from pneumoctl.stack.hash_chain import Chain


def chain() -> Chain:
    """The record of all evaluations; entries are only appended."""
    return Chain(store.home() / "evaluations.jsonl")


def of_model(model: str) -> list[dict[str, Any]]:
    """The evaluations of one model, oldest first."""
    return [entry for entry in chain().entries() if entry.get("model") == model]


def count(pictures: str) -> int:
    """How often exactly these pictures were evaluated, by any model."""
    return sum(entry.get("pictures") == pictures for entry in chain().entries())
