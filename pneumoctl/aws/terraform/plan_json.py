"""The changes and the drift in the output of `terraform show -json`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Action = Literal["create", "update", "replace", "delete"]
SENSITIVE = "(sensitive)"
_ACTIONS: dict[tuple[str, ...], Action] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
}


@dataclass(frozen=True)
class Change:
    """A resource that will change, or has changed. Attributes by name; `after` lacks those only known after apply."""

    address: str
    type: str
    action: Action
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str = ""  # terraform's own, as replace_because_tainted

    @property
    def destroys(self) -> bool:
        """Whether the resource that exists now will be gone."""
        return self.action in ("replace", "delete")

    @property
    def attributes(self) -> tuple[str, ...]:
        """The sorted names of the attributes that differ."""
        names = {*self.before, *self.after}
        return tuple(sorted(name for name in names if self.before.get(name) != self.after.get(name)))


@dataclass(frozen=True)
class Saved:
    """A saved plan that was not read yet.

    `operations`: how many operations terraform will do. `addresses`: of the resources that they change.
    """

    path: Path
    operations: int
    no_op: bool  # applying it would do nothing at all
    drift: bool = False  # it found changes made outside terraform
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Planned:
    """A plan that was read. `drifted`: resources whose configured attributes were changed outside terraform."""

    changes: tuple[Change, ...]
    drifted: tuple[Change, ...]
    path: Path
    no_op: bool  # applying it would do nothing at all

    @property
    def operations(self) -> int:
        """How many operations terraform will do; a replacement is two."""
        return sum(2 if change.action == "replace" else 1 for change in self.changes)


def parse(document: Mapping[str, Any]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Changes and drift of a plan's JSON document, each in the document's order."""
    configured = _configured(document)
    drifted = (
        change
        for change in _changes(document.get("resource_drift", ()))
        if change.action == "delete"
        or _differs(change.before, change.after, configured.get(_without_key(change.address), {}))
    )
    return tuple(_changes(document.get("resource_changes", ()))), tuple(drifted)


def _changes(entries: Iterable[Mapping[str, Any]]) -> Iterable[Change]:
    for entry in entries:
        change = entry["change"]
        action = _ACTIONS.get(tuple(change["actions"]))
        if action is None or entry.get("mode", "managed") != "managed":
            continue
        yield Change(
            entry["address"],
            entry["type"],
            action,
            _masked(change.get("before") or {}, change.get("before_sensitive")),
            _masked(change.get("after") or {}, change.get("after_sensitive")),
            entry.get("action_reason", ""),
        )


def _masked(value: Any, sensitive: Any) -> Any:
    """The value with its sensitive parts masked; `sensitive` has the same shape as the value."""
    if sensitive is True:
        return SENSITIVE
    if isinstance(value, Mapping) and isinstance(sensitive, Mapping):
        return {key: _masked(item, sensitive.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(sensitive, list):
        marks = [*sensitive, *[None] * len(value)]
        return [_masked(item, mark) for item, mark in zip(value, marks, strict=False)]
    return value


def _configured(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The expressions of the configuration by address without key. Changes of other attributes are no drift."""
    module = document.get("configuration", {}).get("root_module", {})
    return {resource["address"]: resource.get("expressions", {}) for resource in module.get("resources", ())}


def _without_key(address: str) -> str:
    return re.sub(r"\[.*\]$", "", address)


def _differs(before: Any, after: Any, expressions: Mapping[str, Any]) -> bool:
    """Whether an attribute with an expression differs; a list of expressions means nested blocks."""
    for name, expression in expressions.items():
        old, new = (side.get(name) if isinstance(side, Mapping) else None for side in (before, after))
        if isinstance(expression, list):
            if _blocks_differ(old or [], new or [], expression):
                return True
        elif (old or new) and old != new:  # null and empty are the same to AWS
            return True
    return False


def _blocks_differ(before: list[Any], after: list[Any], expressions: list[Mapping[str, Any]]) -> bool:
    if len(before) != len(after):
        return True
    triples = zip(before, after, expressions, strict=False)
    return any(_differs(old, new, expression) for old, new, expression in triples)
