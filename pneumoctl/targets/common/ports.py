"""TCP ports of this machine: whether a port is free, and the next free port."""

import socket
from collections.abc import Iterable


def free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether a server could bind the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            raise PermissionError(f"this user may not use port {port}: choose 1024 or higher") from None
        except OSError:
            return False
    return True


def choose(preferred: int, taken: Iterable[int] = ()) -> int:
    """The desired port if it is free, else the next free one above it. Raises OSError if there is none."""
    used = set(taken)
    for port in range(preferred, min(preferred + 200, 65536)):
        if port not in used and free(port):
            return port
    raise OSError(f"no free port from {preferred} up")
