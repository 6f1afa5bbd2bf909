"""A prediction from outside is accepted only if every field is valid and fits the others."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, FormatChecker

import model
from model import schema
from model.schema import Invalid
from model.serving.prediction import CautionCode, Prediction, RefusalCode, checked_prediction, current
from tests.predictions import BROKEN, CONTRADICTIONS, EARLIER, FINDING, INVALID, POINT, VALID

# What Python's regular expressions and date parser see differently from other implementations of JSON Schema.
_DIALECT = {"id with line break", "created word", "created without time zone"}


@pytest.fixture(scope="module")
def published() -> Draft202012Validator:
    """An independent validator of the schema that the OpenAPI document publishes."""
    return Draft202012Validator(schema.schema(Prediction), format_checker=FormatChecker())


@pytest.mark.parametrize("name", VALID)
def test_valid_documents_are_accepted_unchanged(name: str, published: Draft202012Validator) -> None:
    document = json.loads(json.dumps(VALID[name]))
    assert checked_prediction(deepcopy(document)) == VALID[name]
    assert published.is_valid(document)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_documents_are_rejected(name: str) -> None:
    with pytest.raises(Invalid):
        checked_prediction(INVALID[name])


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in _DIALECT])
def test_the_published_schema_rejects_what_the_check_rejects(name: str, published: Draft202012Validator) -> None:
    assert not published.is_valid(BROKEN[name])


def test_every_refusal_code_of_the_classifier_is_described() -> None:
    """A code that the type does not have would make every reader reject the refusal."""
    sources = "".join(path.read_text() for path in Path(model.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'Refused\(\s*"(\w+)"', sources)) == set(get_args(RefusalCode))


def test_every_caution_code_is_described_and_made() -> None:
    sources = (Path(model.__file__).parent / "serving" / "cautions.py").read_text()
    made = {code for code in get_args(CautionCode) if f'"{code}"' in sources}
    assert made == set(get_args(CautionCode)) - {"not_checked"}


def test_a_document_of_an_earlier_version_says_that_nobody_looked_for_cautions() -> None:
    for name, codes in (("finding", ["not_checked"]), ("negative", ["not_checked"]), ("refusal", [])):
        document = checked_prediction(current(EARLIER[name]))
        assert [caution["code"] for caution in document["cautions"]] == codes
        assert document["operating_point"] is None
        assert document | {"cautions": [], "operating_point": POINT} == VALID[name]
        assert current(document) == document
    assert current(VALID["finding with cautions"]) == VALID["finding with cautions"]


@pytest.mark.parametrize("name", INVALID)
def test_nothing_that_is_invalid_becomes_a_document_of_an_earlier_version(name: str) -> None:
    """A document without one of the new fields is a damaged one: no version made it."""
    with pytest.raises(Invalid):
        checked_prediction(current(INVALID[name]))


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_named(name: str) -> None:
    with pytest.raises(Invalid, match="contradicts the probability and the threshold"):
        checked_prediction(CONTRADICTIONS[name])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (FINDING | {"probability": 2}, "document.probability is not valid"),
        (FINDING | {"model": {"name": "m", "version": ""}}, "document.model.version is not valid"),
        (FINDING | {"input": {"format": "PNG"}}, "document.input.width is missing"),
        (FINDING | {"patient": "Jane Doe"}, "document has an unknown field"),
        (FINDING | {"file": ["Jane Doe"]}, "document.file is not valid"),
        ([], "document is not valid"),
    ],
)
def test_the_message_names_the_field_and_repeats_no_content(document: Any, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked_prediction(document)
    assert str(caught.value) == message
