"""JSON Schema from typed dictionaries, and the check against it, held to an independent implementation."""

import gc
import weakref
from typing import Annotated, Literal, NotRequired, TypedDict

import pytest
from jsonschema import Draft202012Validator

from model.schema import Invalid, checked, schema


class Leaf(TypedDict):
    """A nested object."""

    flag: bool
    word: NotRequired[Annotated[str, ("minLength", 1), ("maxLength", 3)]]


class Tree(TypedDict):
    """An object with every kind of field."""

    kind: Literal["a", "b"]
    leaves: Annotated[list[Leaf], ("minItems", 1)]
    share: Annotated[float, ("exclusiveMinimum", 0), ("maximum", 1)] | None


SMALL = {"kind": "a", "leaves": [{"flag": True}], "share": None}


def test_the_schema_is_written_out() -> None:
    leaf = {
        "type": "object",
        "description": "A nested object.",
        "additionalProperties": False,
        "required": ["flag"],
        "properties": {"flag": {"type": "boolean"}, "word": {"type": "string", "minLength": 1, "maxLength": 3}},
    }
    share = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}]}
    assert schema(Tree) == {
        "type": "object",
        "description": "An object with every kind of field.",
        "additionalProperties": False,
        "required": ["kind", "leaves", "share"],
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "leaves": {"type": "array", "items": leaf, "minItems": 1},
            "share": share,
        },
    }


def test_named_types_become_references() -> None:
    properties = schema(Tree, {Leaf: "Leaf"})["properties"]
    assert properties["leaves"] == {"type": "array", "items": {"$ref": "#/components/schemas/Leaf"}, "minItems": 1}
    assert schema(Leaf, {Leaf: "Leaf"})["type"] == "object"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (SMALL, True),
        (SMALL | {"share": 1}, True),
        (SMALL | {"leaves": [{"flag": False, "word": "abc"}, {"flag": True}]}, True),
        (SMALL | {"kind": "c"}, False),
        (SMALL | {"kind": None}, False),
        (SMALL | {"share": 0}, False),
        (SMALL | {"share": True}, False),
        (SMALL | {"share": 1.5}, False),
        (SMALL | {"leaves": []}, False),
        (SMALL | {"leaves": {}}, False),
        (SMALL | {"leaves": [{"flag": 1}]}, False),
        (SMALL | {"leaves": [{"flag": True, "word": ""}]}, False),
        (SMALL | {"leaves": [{"flag": True, "word": "abcd"}]}, False),
        (SMALL | {"leaves": [{"flag": True}, {}]}, False),
        (SMALL | {"more": 1}, False),
        ({}, False),
        ([SMALL], False),
        (None, False),
    ],
)
def test_the_check_agrees_with_an_independent_validator(value: object, valid: bool) -> None:
    assert Draft202012Validator(schema(Tree)).is_valid(value) is valid
    if valid:
        assert checked(value, Tree) is value
    else:
        with pytest.raises(Invalid):
            checked(value, Tree)


def test_an_unknown_constraint_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        checked("x", Annotated[str, ("longest", 3)])


def test_a_value_that_matches_a_later_alternative_is_not_held():
    """Errors of the earlier alternatives would hold it, and all that the callers hold, until the next collection."""

    class Held(list):
        pass

    gc.disable()
    try:
        value = Held(["a"])
        watched = weakref.ref(value)
        checked(value, int | list[str])
        del value
        assert watched() is None
    finally:
        gc.enable()
