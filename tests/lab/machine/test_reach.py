"""Which connections are possible between hosts, the operator and the outside, with real rules, routes and addresses."""

import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.machine.lab import Lab
from tests.lab.machine.paths import LabPaths
from tests.lab.two_host_vpc import TwoHostVpc, port
from tests.lab.wait import wait_for

pytestmark = pytest.mark.repeat  # the tests of the stack use the lab all the time


def test_a_private_host_is_reached_through_the_bastion_by_the_key_on_its_console(vpc: TwoHostVpc) -> None:
    result = vpc.ssh(vpc.back, "hostname; sudo ls /var/lib/booted; id -un")

    address = vpc.address(vpc.back).replace(".", "-")
    assert result.stdout.split() == [f"ip-{address}", "/var/lib/booted", "admin"], result.stderr


def test_the_rules_hold_both_ways(vpc: TwoHostVpc) -> None:
    front, back = vpc.address(vpc.front), vpc.address(vpc.back)
    expected = {
        ("operator", vpc.public, 22): "open",
        ("operator", vpc.public, 443): "refused",  # allowed, but no nginx listens yet
        ("operator", vpc.public, 80): "silent",
        ("operator", front, 22): "silent",
        ("operator", back, 22): "silent",
        ("operator", "198.51.100.240", 22): "silent",
        ("stranger", vpc.public, 443): "refused",
        ("stranger", vpc.public, 22): "silent",
        ("front", back, 22): "open",
        ("front", back, 5000): "refused",
        ("front", back, 6000): "silent",  # may leave one host, but not enter the other
        ("front", back, 443): "silent",
        ("front", "10.9.1.250", 22): "silent",
        ("back", front, 22): "silent",
        ("back", front, 443): "refused",  # an open rule also applies to hosts
        ("front", "203.0.113.66", 443): "refused",
        ("back", "203.0.113.66", 443): "refused",
        ("back", "203.0.113.66", 80): "silent",
        ("back", "198.18.0.1", 5555): "open",
        ("back", "198.18.0.1", 443): "silent",
        ("back", "169.254.1.1", 22): "silent",
    }
    host_ids = {"front": vpc.front, "back": vpc.back}

    def probe(way: tuple[str, str, int]) -> str:
        return vpc.lab.probe(host_ids.get(way[0], way[0]), way[1], way[2])

    with ThreadPoolExecutor(len(expected)) as pool:
        assert dict(zip(expected, pool.map(probe, expected), strict=True)) == expected


@pytest.mark.parametrize("which", ["front", "back"])
def test_outside_a_host_has_its_public_or_its_nat_gateways_address(vpc: TwoHostVpc, which: str) -> None:
    gateway = vpc.ec2.describe_nat_gateways(NatGatewayIds=[vpc.nat])["NatGateways"][0]
    nat = gateway["NatGatewayAddresses"][0]["PublicIp"]
    with vpc.lab.in_network_of("stranger"):
        server = socket.create_server(("203.0.113.66", 443))
    with server, vpc.lab.in_network_of(getattr(vpc, which)):
        socket.create_connection(("203.0.113.66", 443), timeout=3).close()
        connection, peer = server.accept()
        connection.close()

    assert peer[0] == {"front": vpc.public, "back": nat}[which]


def test_without_a_route_or_a_rule_a_host_is_shut_in_at_once(vpc: TwoHostVpc) -> None:
    ec2, everywhere = vpc.ec2, {"RouteTableId": vpc.private_table, "DestinationCidrBlock": "0.0.0.0/0"}
    assert vpc.groups
    rule = {"GroupId": vpc.groups["back"], "IpPermissions": [{**port(443), "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}

    def reaches_api(expected: str) -> Callable[[], bool]:
        return lambda: vpc.lab.probe(vpc.back, "198.18.0.1", 5555, 0.3) == expected

    ec2.delete_route(**everywhere)
    wait_for("the route to be gone", reaches_api("silent"))
    ec2.create_route(**everywhere, NatGatewayId=vpc.nat)
    wait_for("the route", reaches_api("open"))
    ec2.revoke_security_group_egress(**rule)
    wait_for("the rule to be gone", reaches_api("silent"))
    ec2.authorize_security_group_egress(**rule)
    wait_for("the rule", reaches_api("open"))


def test_nothing_in_the_lab_leads_to_this_machines_network(vpc: TwoHostVpc) -> None:
    namespaces = [LabPaths(vpc.lab.paths.name).named(role) for role in ("router", "operator", "stranger", vpc.back)]
    for namespace in namespaces:
        links = subprocess.run(["ip", "-n", namespace, "-o", "link"], text=True, capture_output=True, check=True).stdout
        peers = {line.split("link-netns ")[1].split()[0] for line in links.splitlines() if "link-netns " in line}
        others = [line for line in links.splitlines() if "link-netns " not in line and ": lo:" not in line]

        assert not others
        assert all(peer.startswith(vpc.lab.paths.prefix) for peer in peers)


def test_name_resolution_fails_immediately_for_the_operator(lab: Lab) -> None:
    environment = {"RES_OPTIONS": "timeout:30 attempts:5"}  # how long it would wait for an answer

    assert lab.run(["getent", "hosts", "example.com"], code=None, timeout=100, env=environment).returncode == 2


def test_the_operators_environment_is_the_labs_own(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "real")
    monkeypatch.setenv("TF_VAR_region", "us-east-1")
    lines = lab.run(["env"]).stdout.splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)

    assert not {"AWS_PROFILE", "TF_VAR_region", "TF_IN_AUTOMATION"} & set(environment)
    assert Path(environment["XDG_STATE_HOME"]).is_relative_to(environment["HOME"])
    assert environment["HOME"] == str(lab.paths.home)
    assert lab.run(["python", "-c", "import sys; print(sys.prefix)"]).stdout.strip() == sys.prefix
