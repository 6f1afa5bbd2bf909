"""docs/predictions.md describes the published OpenAPI document."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.docs.documents import DOCS, ROOT

TEXT = (DOCS / "predictions.md").read_text()
OPENAPI = json.loads((ROOT / "webapp/api/openapi.json").read_text())


def _enums(schema: Any) -> Iterator[set[str]]:
    if isinstance(schema, dict):
        if "enum" in schema:
            yield set(schema["enum"])
        for value in schema.values():
            yield from _enums(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _enums(value)


def test_the_example_has_the_keys_of_a_prediction() -> None:
    example = json.loads(re.findall(r"^```json$(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0])
    assert set(example) == set(OPENAPI["components"]["schemas"]["Prediction"]["properties"])


def test_the_table_has_every_refusal() -> None:
    (codes,) = [codes for codes in _enums(OPENAPI["components"]["schemas"]) if "unreadable" in codes]
    section = TEXT.partition("## Refusals")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == codes


def test_the_table_has_every_path() -> None:
    paths = {re.sub(r"\{\w+\}", "{id}", path) for path in OPENAPI["paths"]}
    assert {path for path in paths if f"{path}`" not in TEXT} == set()
