"""Programs that check and run the rendered files, and a network in which they use the ports of real hosts."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import needs

_PACKAGES = {  # from npm's registry
    "observatory": "observatory/node_modules",
    "axe": "pages/node_modules/axe-core/axe.min.js",
    "lighthouse": "pages/node_modules/lighthouse/cli/index.js",
}
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


def program(name: str) -> str:
    """A program of a Debian package; the test is skipped without it.

    DEBIAN names a folder into which packages were unpacked: installing nginx or Prometheus would start them.
    """
    unpacked = Path(os.environ.get("DEBIAN", "/nonexistent"))
    places = [unpacked / "usr/sbin", unpacked / "usr/bin", *os.environ["PATH"].split(":"), "/usr/sbin", "/sbin"]
    path = shutil.which(name, path=":".join(map(str, places)))
    if path is None:
        pytest.skip(f"{name} is not here: on Debian `make test` fetches it, or DEBIAN names a folder with it")
    return path


def checker(name: str) -> str:
    """A checking program in a separate environment below CHECKERS; the test is skipped without it."""
    path = Path(os.environ.get("CHECKERS", "/nonexistent")) / _PACKAGES.get(name, f"bin/{name}")
    if not path.exists():
        pytest.skip(f"{name} is not here: `make test` installs it, or CHECKERS names a folder with it")
    return str(path)


@contextmanager
def own_network() -> Iterator[None]:
    """Put this thread and its children into a separate network, where port 443 and all of 127.0.0.0/8 are free."""
    if os.geteuid() != 0:
        pytest.skip(needs.ROOT)
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_NEW_NETWORK):
            pytest.skip(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        subprocess.run([program("ip"), "link", "set", "lo", "up"], check=True)
        yield
    finally:
        libc.setns(before, _NEW_NETWORK)
        os.close(before)
