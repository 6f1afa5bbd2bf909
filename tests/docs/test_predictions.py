"""docs/predictions.md describes the published OpenAPI document."""

import re
from typing import get_args

from model.serving.prediction import CautionCode, RefusalCode
from tests.docs.documents import DOCS, Document
from webapp.api import openapi

PAGE = Document(DOCS / "predictions.md")
TEXT = PAGE.text
OPENAPI = openapi.document()


def test_the_example_has_the_keys_of_a_prediction() -> None:
    assert set(PAGE.json()[0]) == set(OPENAPI["components"]["schemas"]["Finding"]["properties"])


def test_the_table_has_every_refusal() -> None:
    section = TEXT.partition("## Refusals")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(get_args(RefusalCode))


def test_the_table_has_every_caution() -> None:
    section = TEXT.partition("## Cautions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row)} == set(get_args(CautionCode))


def test_the_tables_have_every_path() -> None:
    described = TEXT + Document(DOCS / "accounts.md").text
    paths = {re.sub(r"\{\w+\}", "{id}", path) for path in OPENAPI["paths"]}
    assert {path for path in paths if f"{path}`" not in described} == set()
