"""The hosts: from terraform's outputs, saved and read back."""

import json

import pytest

from pneumoctl.stack import inventory
from tests.pneumoctl.examples import HOSTS_OUTPUT


def test_hosts_come_from_terraforms_outputs() -> None:
    parsed = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert parsed.bastion.name == "nginx" and parsed.bastion.public_address == "198.51.100.1"
    hosts = {host.name: host for host in parsed.hosts}
    assert hosts["monitoring"].public_address == "198.51.100.9" and hosts["web-0"].public_address == ""
    assert (hosts["train"].user, hosts["app-1"].user) == ("ubuntu", "admin")
    assert hosts["web-0"].instance_id == "i-2" and parsed.url("ui") == "http://10.20.1.2:8080"


def test_redis_is_on_the_first_app_host_only() -> None:
    hosts = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert [host.name for host in hosts.hosts if "redis" in (host.services or {})] == ["app-0"]
    assert all("node_exporter" in (host.services or {}) for host in hosts.hosts)
    with pytest.raises(ValueError, match="too many"):
        hosts.only("app")


def test_hosts_are_in_the_order_of_their_numbers() -> None:
    output = {"role": "app", "instance_id": "i", "private_ip": "10.0.0.1", "public_ip": None, "type": "t"}
    names = [f"app-{number}" for number in range(12)]

    assert [host.name for host in inventory.from_outputs(dict.fromkeys(sorted(names), output), "").hosts] == names


def test_a_saved_inventory_comes_back() -> None:
    hosts = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert inventory.from_json(json.loads(json.dumps(inventory.to_json(hosts)))) == hosts
