"""Derive JSON Schema (draft 2020-12) from typed dictionaries, and check JSON values against it.

Only the standard library: the command line and the web page import it without the classifier's dependencies.
Constraints are written as (keyword, value) pairs: `Annotated[float, ("minimum", 0), ("maximum", 1)]`.
"""

import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

Schema = dict[str, Any]
_NO_NAMES: Mapping[Any, str] = MappingProxyType({})
_TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


class Invalid(ValueError):
    """A JSON value does not match its type. The message names the field and never repeats its content."""


def reference(hint: Any, names: Mapping[Any, str] = _NO_NAMES) -> Schema:
    """The schema of a type hint; a hint in `names` becomes a reference to the OpenAPI component of that name."""
    return {"$ref": f"#/components/schemas/{names[hint]}"} if hint in names else schema(hint, names)


def schema(hint: Any, names: Mapping[Any, str] = _NO_NAMES) -> Schema:
    """The schema of a type hint, written out; the types inside it are references where `names` has them."""
    if is_typeddict(hint):
        fields = get_type_hints(hint, include_extras=True)
        return {
            "type": "object",
            "description": hint.__doc__,
            "additionalProperties": False,
            "required": [name for name in fields if name in hint.__required_keys__],
            "properties": {name: reference(field, names) for name, field in fields.items()},
        }
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Annotated, NotRequired):
        return reference(arguments[0], names) | dict(arguments[1:])
    if origin in (Union, UnionType):
        return {"anyOf": [reference(each, names) for each in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": reference(arguments[0], names)}
    return {"type": _TYPE_NAMES[hint]}


def checked(value: object, hint: Any, name: str = "document") -> Any:
    """The value, if it matches the type hint in every field; otherwise raises Invalid, which calls the value `name`."""
    _check(value, _cached_schema(hint), name)
    return value


@cache
def _cached_schema(hint: Any) -> Schema:
    return schema(hint)


def _check(value: Any, rules: Schema, name: str) -> None:
    if "anyOf" in rules:
        _check_any(value, rules["anyOf"], name)
        return
    for keyword, argument in rules.items():
        if keyword not in _STRUCTURE and not _KEYWORDS[keyword](value, argument):
            raise Invalid(f"{name} is not valid")
    if isinstance(value, dict):
        _check_fields(value, rules, name)
    if isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, rules["items"], f"{name}[{position}]")


def _check_any(value: Any, alternatives: list[Schema], name: str) -> None:
    faults = []  # their words: an error would keep all that its callers hold, and itself, in a cycle
    for alternative in alternatives:
        try:
            _check(value, alternative, name)
            return
        except Invalid as error:
            faults.append(str(error))
    raise Invalid(faults[0])


def _check_fields(value: dict[str, Any], rules: Schema, name: str) -> None:
    for field in rules["required"]:
        if field not in value:
            raise Invalid(f"{name}.{field} is missing")
    for field, content in value.items():
        if field not in rules["properties"]:
            raise Invalid(f"{name} has an unknown field")
        _check(content, rules["properties"][field], f"{name}.{field}")


def _is_number(value: object) -> bool:
    # NaN fails every comparison. An integer beyond the largest float cannot be shown or compared as a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_date_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and isinstance(value, int),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_STRUCTURE = {"additionalProperties", "required", "properties", "items", "description"}
# `type` stands first in every schema, so that the others see values of that type only.
_KEYWORDS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, name: _TYPES[name](value),
    "enum": lambda value, allowed: value in allowed,
    "pattern": lambda value, pattern: re.fullmatch(pattern, value) is not None,
    "format": lambda value, _: _is_date_time(value),  # the only format in use
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
}
