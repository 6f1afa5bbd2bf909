"""The smallest terraform configuration into which one resource can be imported."""

import json
import re
from typing import Any

from pneumoctl.aws.ec2 import STACK_TAG

_ADDRESS = re.compile(r'(?P<type>[a-z0-9_]+)\.(?P<name>[\w-]+)(?:\[(?P<key>"[^"]+")\])?')


def stub(address: str, region: str, stack: str) -> dict[str, Any]:
    """A configuration in JSON with that resource and its provider only.

    It has the default tags of terraform/versions.tf: without them the import would record them as the resource's own.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"no address of a resource: {address}")
    block = {"for_each": {json.loads(match["key"]): ""}} if match["key"] else {}
    return {
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
        "provider": {"aws": {"region": region, "default_tags": {"tags": {STACK_TAG: stack}}}},
        "resource": {match["type"]: {match["name"]: block}},
    }
