"""Terraform's state as it stores it (format 4): what is in it, and whether it is whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resource:
    """A thing that terraform's state knows. `values`: its attributes."""

    address: str
    type: str
    id: str
    values: Mapping[str, Any]


def resources(state: str) -> list[Resource]:
    """The managed resources of a state; an empty text is an empty state."""
    document = json.loads(state) if state.strip() else {"resources": ()}
    return [
        Resource(
            _address(one, instance), one["type"], str(instance["attributes"].get("id", "")), instance["attributes"]
        )
        for one in document["resources"]
        if one["mode"] == "managed"
        for instance in one["instances"]
    ]


def serial(state: bytes) -> int:
    """The number that terraform counts up with each state it writes; -1 for what is no whole state."""
    try:
        return int(json.loads(state)["serial"])
    except (ValueError, KeyError, TypeError):
        return -1


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    key = instance.get("index_key")
    return f"{resource['type']}.{resource['name']}" + ("" if key is None else f"[{json.dumps(key)}]")
