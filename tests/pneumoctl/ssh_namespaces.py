"""Network namespaces in which real SSH servers are the hosts of a stack."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import needs
from tests.pneumoctl.sshd import NAMES, OPERATOR, Farm, call, servers_of


@contextmanager
def in_namespaces(root: Path) -> Iterator[Farm]:
    """Hosts in network namespaces. This thread and its children are in one that only reaches the bastion."""
    with namespaces(root) as (farm, operator), entered(operator):
        yield farm


@contextmanager
def namespaces(root: Path) -> Iterator[tuple[Farm, str]]:
    """Hosts in network namespaces, and the name of a namespace that only reaches the bastion."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "nsenter"))):
        pytest.skip(f"{needs.ROOT}, with `apt-get install iproute2 nftables`")
    prefix = f"pnssh{os.getpid()}"
    with ExitStack() as stack:
        spaces = [f"{prefix}-{name}" for name in ("operator", *NAMES)]
        for space in spaces:
            call("ip", "netns", "add", space)
            stack.callback(call, "ip", "netns", "del", space)
            call("ip", "-n", space, "link", "set", "lo", "up")
        operator, bastion, *private = spaces
        _wire(operator, OPERATOR, bastion, "198.51.100.2", 0)
        for number, space in enumerate(private, 1):
            _wire(bastion, f"10.99.{number}.1", space, f"10.99.{number}.2", number)
        address = ["198.51.100.2", *(f"10.99.{number}.2" for number in range(1, len(NAMES)))]
        yield servers_of(root, lambda number: (address[number], 22, spaces[number + 1]), stack), operator


def _wire(near: str, address: str, far: str, opposite: str, number: int) -> None:
    call("ip", "-n", near, "link", "add", f"v{number}", "type", "veth", "peer", "name", "up0", "netns", far)
    for space, link, own in ((near, f"v{number}", address), (far, "up0", opposite)):
        call("ip", "-n", space, "address", "add", f"{own}/24", "dev", link)
        call("ip", "-n", space, "link", "set", link, "up")


@contextmanager
def entered(space: str) -> Iterator[None]:
    """Put this thread, and the threads and processes that it starts, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{space}").open() as there:
        if libc.setns(there.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(home.fileno(), 0x40000000)
