"""The metadata at the head of a model card, as Hugging Face reads it: YAML with licence, tags and results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from model.evaluation.metrics import TITLES

_TASK = ("image-classification", "Pneumonia in frontal chest X-rays")
_TAGS = ("chest-x-ray", "medical-imaging", "onnx", "pneumonia", "radiology")
# Our figures under the names that Hugging Face gives to metrics; sensitivity is the recall of pneumonia.
_TYPES = {"auc": "roc_auc", "sensitivity": "recall"}
_UNKNOWN = "unknown"  # Hugging Face's word for a licence that nobody stated


def text(manifest: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """The front matter of a card, with its delimiters. manifest: of a bundle (without version and files).

    parts: the name of the data by the part of it that may have been measured, "validation" or "test".
    """
    lines = [
        f"license: {_quoted(manifest.get('license') or _UNKNOWN)}",
        f"pipeline_tag: {_quoted(_TASK[0])}",
        "tags:",
        *(f"- {_quoted(tag)}" for tag in _TAGS),
        "metrics:",
        *(f"- {_quoted(_TYPES.get(key, key))}" for key in TITLES),
        *_index(manifest, parts),
    ]
    return "\n".join(["---", *lines, "---"])


def _index(manifest: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[str]:
    """The results of each measured part; Hugging Face refuses an index without results."""
    measured = {part: figures for part in parts if (figures := manifest["metrics"].get(part))}
    if not measured:
        return
    yield "model-index:"
    yield f"- name: {_quoted(manifest['name'])}"
    yield "  results:"
    for part, figures in measured.items():
        yield "  - task:"
        yield f"      type: {_quoted(_TASK[0])}"
        yield f"      name: {_quoted(_TASK[1])}"
        yield "    dataset:"
        yield f"      type: {_quoted(parts[part])}"
        yield f"      name: {_quoted(parts[part])}"
        yield f"      split: {_quoted(part)}"
        yield "    metrics:"
        for key, title in TITLES.items():
            if (figure := figures.get(key)) is not None:
                interval = f"95 % interval {figure['low']:.3f} to {figure['high']:.3f}, n = {figure['n']}"
                yield f"    - type: {_quoted(_TYPES.get(key, key))}"
                yield f"      value: {figure['value']:.4f}"
                yield f"      name: {_quoted(f'{title} ({interval})')}"


def _quoted(value: str) -> str:
    """A string in YAML: JSON's notation of strings is YAML's, too."""
    return json.dumps(value)
