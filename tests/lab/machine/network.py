"""The lab's network: a router, which simulates the VPC, and a link to each host, to the operator and to a stranger.

Each of them is a network namespace. None has a route to this machine's interfaces, so no packet leaves the lab. A host
has a /32 address on its link. Every packet, also to a host of the same subnet, passes the router with its firewall.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.machine.paths import API, EXTERNAL_ADDRESSES, GATEWAY, LabPaths

# Drops all packets of a cut link in both directions.
CUTS = """
table ip cuts {
  set cut_interfaces { type ifname; }
  chain arriving { type filter hook prerouting priority -350; iifname @cut_interfaces drop; }
  chain leaving { type filter hook postrouting priority 350; oifname @cut_interfaces drop; }
}
"""


class Network:
    def __init__(self, paths: LabPaths) -> None:
        self._paths = paths
        self._router = paths.named("router")

    def create(self, ruleset: str) -> None:
        """Create the router with its first ruleset, the operator's network and the stranger's."""
        _ip("netns", "add", self._router)
        _ip("-n", self._router, "link", "set", "lo", "up")
        for address in (API, GATEWAY):
            _ip("-n", self._router, "address", "add", f"{address}/32", "dev", "lo")
        _ip("-n", self._router, "route", "add", "blackhole", "default")  # for addresses without a host
        settings = ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1", "net.ipv6.conf.all.disable_ipv6=1")
        self._in_router("sysctl", "--quiet", "--write", *settings)
        self._in_router("nft", "-f", "-", stdin=CUTS)
        self.load(ruleset)
        for namespace, address in EXTERNAL_ADDRESSES.items():
            self._connect(self._paths.named(namespace), namespace, address)
            for resolver in _resolvers():  # so that name resolution fails at once, not after a time-out
                _ip("-n", self._paths.named(namespace), "route", "add", "unreachable", resolver)

    def load(self, ruleset: str) -> None:
        """Load the firewall's rules atomically. Raises ValueError if nft refuses them."""
        result = subprocess.run(
            self.inside("router", ["nft", "-f", "-"]), input=ruleset, text=True, capture_output=True
        )
        if result.returncode:
            raise ValueError(f"nft refuses the rules: {result.stderr.strip()}")

    def attach(self, host: str, address: str) -> None:
        """Create the link of a host; an existing one is replaced."""
        self.detach(host)
        self._connect(self._paths.named(host), _interface(host), address)

    def detach(self, host: str) -> None:
        _ip("-n", self._router, "link", "delete", _interface(host), check=False)
        _ip("netns", "delete", self._paths.named(host), check=False)

    def cut(self, host: str) -> None:
        self._in_router("nft", f"add element ip cuts cut_interfaces {{ {_interface(host)} }}")

    def restore(self, host: str) -> None:
        if _interface(host) in self._in_router("nft", "list", "set", "ip", "cuts", "cut_interfaces"):
            self._in_router("nft", f"delete element ip cuts cut_interfaces {{ {_interface(host)} }}")

    def inside(self, namespace: str, argv: list[str]) -> list[str]:
        """The command that runs `argv` in a namespace. Not `ip netns exec`, which would hide the control groups."""
        return ["nsenter", f"--net=/run/netns/{self._paths.named(namespace)}", "--", *argv]

    @contextmanager
    def in_network_of(self, namespace: str) -> Iterator[None]:
        """Within `with`, the sockets of this thread are opened in a namespace of the lab."""
        with (
            Path("/proc/thread-self/ns/net").open() as here,
            Path("/run/netns", self._paths.named(namespace)).open() as there,
        ):
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(here.fileno())

    def _connect(self, namespace: str, interface: str, address: str) -> None:
        router = ("-n", self._router)
        _ip("netns", "add", namespace)
        _ip(*router, "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip(*router, "link", "set", interface, "up")
        _ip(*router, "route", "add", f"{address}/32", "dev", interface)
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "address", "add", f"{address}/32", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "route", "add", "default", "via", GATEWAY, "dev", "eth0", "onlink")

    def _in_router(self, *argv: str, stdin: str = "") -> str:
        return subprocess.run(
            self.inside("router", list(argv)), input=stdin, text=True, capture_output=True, check=True
        ).stdout


def namespaces(prefix: str) -> list[str]:
    """The namespaces whose name has this prefix."""
    return sorted(path.name for path in Path("/run/netns").glob(f"{prefix}*"))


def destroy(prefix: str) -> None:
    """Remove the namespaces whose name has this prefix, and with them the links."""
    for name in namespaces(prefix):
        _ip("netns", "delete", name)


def _interface(namespace: str) -> str:
    """The name of the router's interface for a link. It has at most 15 characters."""
    return namespace if namespace in EXTERNAL_ADDRESSES else "h" + namespace[-12:]


def _resolvers() -> list[str]:
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    named = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    return [address for address in dict.fromkeys(named) if ":" not in address and not address.startswith("127.")]


def _ip(*argv: str, check: bool = True) -> None:
    result = subprocess.run(["ip", *argv], text=True, capture_output=True)
    if check and result.returncode:
        raise RuntimeError(f"ip {' '.join(argv)}: {result.stderr.strip()}")


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):  # CLONE_NEWNET; os.setns is new in Python 3.12
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def connection(address: str, port: int, timeout: float) -> str:
    """The result of a TCP connection from this thread's network: `open`, `refused` or `silent`."""
    with socket.socket() as attempt:
        attempt.settimeout(timeout)
        try:
            attempt.connect((address, port))
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silent"
        return "open"
