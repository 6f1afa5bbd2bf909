"""Terraform's state as a file."""

import json

import pytest

from pneumoctl.aws.terraform.state import Resource, resources, serial


def test_managed_resources_by_their_addresses() -> None:
    def one(kind: str, name: str, *instances: dict[str, object], mode: str = "managed") -> dict[str, object]:
        return {"mode": mode, "type": kind, "name": name, "instances": list(instances)}

    state = {
        "resources": [
            one("aws_vpc", "main", {"attributes": {"id": "vpc-1"}}),
            one("aws_instance", "host", {"index_key": 'a"b', "attributes": {"id": "i-1"}}),
            one("terraform_data", "counted", {"index_key": 0, "attributes": {}}),
            one("aws_ami", "debian", {"attributes": {"id": "ami-1"}}, mode="data"),
        ]
    }
    assert resources(json.dumps(state)) == [
        Resource("aws_vpc.main", "aws_vpc", "vpc-1", {"id": "vpc-1"}),
        Resource('aws_instance.host["a\\"b"]', "aws_instance", "i-1", {"id": "i-1"}),
        Resource("terraform_data.counted[0]", "terraform_data", "", {}),
    ]
    assert resources("\n") == []


@pytest.mark.parametrize("cut", [b"", b"{", b'{"serial": 7', b"null", b"[]", b'{"serial": "x"}', b"\xff"])
def test_an_incomplete_state_has_no_serial(cut: bytes) -> None:
    assert serial(cut) == -1
    assert serial(b'{"serial": 7}') == 7
