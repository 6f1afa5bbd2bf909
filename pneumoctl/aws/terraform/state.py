"""Terraform's state file (format 4): its resources and outputs, and whether it is complete."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resource:
    """A resource in terraform's state. `values`: its attributes."""

    address: str
    type: str
    id: str
    values: Mapping[str, Any]


def resources(state: str) -> list[Resource]:
    """The managed resources of a state; empty for an empty text."""
    document = json.loads(state) if state.strip() else {"resources": ()}
    return [
        Resource(
            _address(resource, instance),
            resource["type"],
            str(instance["attributes"].get("id", "")),
            instance["attributes"],
        )
        for resource in document["resources"]
        if resource["mode"] == "managed"
        for instance in resource["instances"]
    ]


def outputs(state: str) -> dict[str, Any]:
    """The values of a state's outputs by name; empty for an empty text."""
    document = json.loads(state) if state.strip() else {}
    return {name: output["value"] for name, output in document.get("outputs", {}).items()}


def serial(state: bytes) -> int:
    """The number that terraform increments with each state it writes; -1 for an incomplete state."""
    try:
        return int(json.loads(state)["serial"])
    except (ValueError, KeyError, TypeError):
        return -1


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    key = instance.get("index_key")
    return f"{resource['type']}.{resource['name']}" + ("" if key is None else f"[{json.dumps(key)}]")
