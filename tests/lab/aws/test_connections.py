"""Try every connection between the hosts of the real stack, and compare the result with the security groups."""

import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from pneumoctl.stack.inventory import PORTS
from tests.lab.first_up import FirstUp
from tests.lab.machine.lab import Lab
from tests.lab.machine.paths import EXTERNAL_ADDRESSES
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import HOSTS, Operator

CLOSED_PORTS = (3000, 8081, 9090)  # ports that no security group opens, among them those of Grafana and Prometheus
PORTS_TRIED = sorted({*PORTS.values(), *CLOSED_PORTS})
ANSWER_S = 2.0
# Listens on all ports that no service uses, for at most two minutes.
LISTEN = f"""
import errno, socket, time
kept = []
for port in {PORTS_TRIED}:
    try:
        kept.append(socket.create_server(("", port), backlog=200))
    except OSError as error:
        if error.errno != errno.EADDRINUSE: raise
print("listening", flush=True)
time.sleep(120)
"""
Connection = tuple[str, str, int]  # from, to (a namespace; "public NAME": a host by its public address), port


@dataclass(frozen=True)
class Topology:
    """The hosts as EC2 describes them, and their groups by id."""

    hosts: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Mapping[str, Any]]

    def permits(self, way: Connection) -> bool:
        """Whether the security groups of both ends allow a connection. The operator and the stranger have no group."""
        start, end, port = way[0], way[1].removeprefix("public "), way[2]
        leaves = start in EXTERNAL_ADDRESSES or self._allows(start, "IpPermissionsEgress", end, port)
        return leaves and (end in EXTERNAL_ADDRESSES or self._allows(end, "IpPermissions", start, port))

    def _allows(self, host: str, direction: str, peer: str, port: int) -> bool:
        rules = [rule for group in self._groups(host) for rule in self.groups[group][direction]]
        return any(self._covers(rule, peer) for rule in rules if rule["FromPort"] <= port <= rule["ToPort"])

    def _covers(self, rule: Mapping[str, Any], peer: str) -> bool:
        assert rule["IpProtocol"] == "tcp"
        group_ids = {pair["GroupId"] for pair in rule["UserIdGroupPairs"]}
        address = IPv4Address(EXTERNAL_ADDRESSES.get(peer) or self.hosts[peer]["PrivateIpAddress"])
        within = any(address in IPv4Network(block["CidrIp"]) for block in rule["IpRanges"])
        return within or bool(peer not in EXTERNAL_ADDRESSES and group_ids & self._groups(peer))

    def _groups(self, host: str) -> set[str]:
        return {group["GroupId"] for group in self.hosts[host]["SecurityGroups"]}


@pytest.fixture(scope="module")
def topology(aws: SharedStack[FirstUp]) -> Iterator[Topology]:
    """Start all hosts, also the GPU host, which powers itself off after two minutes."""
    operator = aws.ready()
    ec2 = operator.lab.client()
    train = operator.instance_id("train")
    operator.lab.wait_for_host("train", "down")  # EC2 says that it is stopped a moment before it is
    ec2.start_instances(InstanceIds=[train])
    operator.lab.wait_for_host("train", "up")
    yield describe_topology(operator)
    operator.run("gpu", "stop")


def describe_topology(operator: Operator) -> Topology:
    ec2 = operator.lab.client()
    names = {host["id"]: host["name"] for host in operator.lab.hosts()}
    listed = [instance for group in ec2.describe_instances()["Reservations"] for instance in group["Instances"]]
    hosts = {names[instance["InstanceId"]]: instance for instance in listed if instance["State"]["Name"] == "running"}
    assert set(hosts) == {*HOSTS, "train"}
    return Topology(hosts, {group["GroupId"]: group for group in ec2.describe_security_groups()["SecurityGroups"]})


@pytest.fixture(scope="module")
def outcomes(aws: SharedStack[FirstUp], topology: Topology) -> dict[Connection, str]:
    """The result of each connection, between all hosts, the operator and the stranger."""
    lab = aws.lab
    listeners = [listen(lab, origin) for origin in (*topology.hosts, *EXTERNAL_ADDRESSES)]
    try:
        for listener in listeners:
            assert listener.stdout
            assert listener.stdout.readline() == "listening\n"
        with ThreadPoolExecutor(len(listeners)) as pool:
            tried = pool.map(
                lambda origin: try_connections(lab, origin, destinations(topology, origin)),
                (*topology.hosts, *EXTERNAL_ADDRESSES),
            )
            return {way: outcome for results in tried for way, outcome in results.items()}
    finally:
        for listener in listeners:
            listener.kill()
            listener.communicate()


def listen(lab: Lab, namespace: str) -> subprocess.Popen[str]:
    """Start listeners in the network of a host, the operator or the stranger. They are processes of this machine."""
    command = lab.command([sys.executable, "-c", LISTEN], namespace)
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def destinations(topology: Topology, start: str) -> dict[str, str]:
    """The destinations: private addresses of hosts, the outside and, from the outside, public addresses of hosts."""
    outside = {
        namespace: address
        for namespace, address in EXTERNAL_ADDRESSES.items()
        if namespace != start and start not in EXTERNAL_ADDRESSES
    }
    private = {name: host["PrivateIpAddress"] for name, host in topology.hosts.items() if name != start}
    public = {f"public {name}": host["PublicIpAddress"] for name, host in topology.hosts.items() if has_public(host)}
    return {**outside, **private, **(public if start in EXTERNAL_ADDRESSES else {})}


def has_public(host: Mapping[str, Any]) -> bool:
    return bool(host.get("PublicIpAddress"))


def try_connections(lab: Lab, start: str, ends: Mapping[str, str]) -> dict[Connection, str]:
    """Try all destinations and ports at the same time: `open`, `refused` or `silent`."""
    ways = [(start, end, port) for end in ends for port in PORTS_TRIED]
    with lab.in_network_of(start):
        sockets = {way: start_connecting(ends[way[1]], way[2]) for way in ways}
    answered = wait_for_answers(sockets.values())
    outcomes = {}
    for way, sock in sockets.items():
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if sock.fileno() in answered else -1
        outcomes[way] = {0: "open", -1: "silent"}.get(error, "refused")
        sock.close()
    return outcomes


def start_connecting(address: str, port: int) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.connect_ex((address, port))
    return made


def wait_for_answers(sockets: Iterable[socket.socket]) -> set[int]:
    """The descriptors of the sockets that were answered in time."""
    waiting, answered, deadline = select.poll(), set(), time.monotonic() + ANSWER_S
    for sock in sockets:
        waiting.register(sock, select.POLLOUT)
    while (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in waiting.poll(left * 1000):
            answered.add(descriptor)
            waiting.unregister(descriptor)
    return answered


def test_exactly_what_the_groups_permit_is_open(topology: Topology, outcomes: dict[Connection, str]) -> None:
    # Private addresses cannot be reached from outside, whatever the security groups allow.
    expected = {
        way: "open"
        if topology.permits(way) and not (way[0] in EXTERNAL_ADDRESSES and way[1] in topology.hosts)
        else "silent"
        for way in outcomes
    }

    assert len(outcomes) > 600
    assert {way: outcome for way, outcome in outcomes.items() if outcome != expected[way]} == {}


def test_from_outside_only_the_front_door_and_the_operators_ssh(outcomes: dict[Connection, str]) -> None:
    assert {way for way, outcome in outcomes.items() if way[0] in EXTERNAL_ADDRESSES and outcome != "silent"} == {
        ("operator", "public nginx", 22),
        *((origin, "public nginx", port) for origin in EXTERNAL_ADDRESSES for port in (80, 443)),
    }


def test_between_hosts_only_the_designed_connections_are_open(outcomes: dict[Connection, str]) -> None:
    """The important connections, listed by hand: a mistake in `permits` would not show in the test that uses it."""
    open_between = {way for way, outcome in outcomes.items() if outcome == "open" and way[1] not in EXTERNAL_ADDRESSES}

    assert open_between >= {("web-0", "app-1", 5000), ("app-1", "app-0", 6379)}
    assert open_between >= {("nginx", name, 22) for name in ("monitoring", "web-0", "app-0", "app-1", "train")}
    assert open_between >= {("monitoring", "train", 9100), ("monitoring", "app-0", 9121), ("nginx", "web-0", 8080)}
    assert {way for way in open_between if way[2] in CLOSED_PORTS} == set()
    assert {way for way in open_between if way[2] == 22 and way[0] not in ("nginx", "operator")} == set()
    assert {way[0] for way in open_between if way[2] == 6379} <= {"app-0", "app-1"}


def test_packages_are_fetched_and_nothing_else_leaves(outcomes: dict[Connection, str]) -> None:
    out = {(way[0], way[2]) for way, outcome in outcomes.items() if way[1] == "stranger" and outcome == "open"}

    assert out == {(host, port) for host in (*HOSTS, "train") for port in (80, 443)}


@pytest.mark.parametrize(("host", "way"), [("nginx", "own"), ("web-0", "NAT"), ("app-1", "NAT"), ("train", "NAT")])
def test_outside_a_private_host_has_the_nat_gateways_address(
    operator: Operator, topology: Topology, host: str, way: str
) -> None:
    ec2 = operator.lab.client()
    gateways = [gateway for gateway in ec2.describe_nat_gateways()["NatGateways"] if gateway["State"] == "available"]
    nat = gateways[0]["NatGatewayAddresses"][0]["PublicIp"]
    with operator.lab.in_network_of("stranger"):
        server = socket.create_server((EXTERNAL_ADDRESSES["stranger"], 443))
    with server, operator.lab.in_network_of(host):
        socket.create_connection((EXTERNAL_ADDRESSES["stranger"], 443), timeout=60).close()
        connection, peer = server.accept()
        connection.close()

    assert peer[0] == {"NAT": nat, "own": topology.hosts[host].get("PublicIpAddress")}[way]
