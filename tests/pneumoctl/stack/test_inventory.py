"""The hosts: from terraform's outputs, saved and read back."""

import json

import pytest

from pneumoctl.stack import inventory
from tests.pneumoctl.examples import HOSTS_OUTPUT


def test_hosts_come_from_terraforms_outputs() -> None:
    known = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert known.bastion.name == "nginx" and known.bastion.public_address == "198.51.100.1"
    hosts = {host.name: host for host in known.hosts}
    assert hosts["monitoring"].public_address == "198.51.100.9" and hosts["web-0"].public_address == ""
    assert (hosts["train"].user, hosts["app-1"].user) == ("ubuntu", "admin")
    assert hosts["web-0"].instance_id == "i-2" and known.url("ui") == "http://10.20.1.2:8080"


def test_redis_is_on_the_first_app_host_only() -> None:
    known = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert [host.name for host in known.hosts if "redis" in (host.services or {})] == ["app-0"]
    assert all("node_exporter" in (host.services or {}) for host in known.hosts)
    with pytest.raises(ValueError, match="too many"):
        known.only("app")


def test_a_saved_inventory_comes_back() -> None:
    known = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert inventory.from_json(json.loads(json.dumps(inventory.to_json(known)))) == known
