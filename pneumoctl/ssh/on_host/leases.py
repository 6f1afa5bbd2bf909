"""Sent to a host before the agent: whose the host is. A token grows with each holder; older ones are refused."""

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pneumoctl.ssh.on_host.files import write

Document = dict[str, Any]
KEPT = Path("/var/lib/pneumoctl")  # the fence outlives a reboot
RUNNING = Path("/run/pneumoctl")  # leases and locks: a reboot ends them


@contextlib.contextmanager
def locked(name: str, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock of this host. `wait` is called every second in which somebody else has it."""
    RUNNING.mkdir(mode=0o700, exist_ok=True)
    with open(RUNNING / name, "a") as file:  # noqa: PTH123, held open
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if wait else 0))
                break
            except BlockingIOError:
                if wait:
                    wait()
                time.sleep(1)
        yield


def now() -> float:
    """Seconds since boot, those asleep included; no clock that anybody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def current_lease() -> Document:
    """Whose the host is at the moment, {} if nobody's."""
    with contextlib.suppress(OSError, ValueError):
        known: Document = json.loads((RUNNING / "lease").read_text())
        if known["until"] > now():
            return known
    return {}


def fence() -> int:
    """The token of the last lease that was given."""
    with contextlib.suppress(OSError, ValueError):
        return int((KEPT / "fence").read_text())
    return 0


def lease(request: Document) -> Document:
    """Give or renew a lease. Its token grows with each holder: who has an older one is refused everything."""
    with locked("lease.lock"):
        held, token = current_lease(), request["token"]
        if held and held["holder"] != request["holder"]:
            return {"state": "held", "by": held["who"], "left": held["until"] - now()}
        if token is None:
            token = fence() + 1
            write(KEPT / "fence", str(token).encode(), 0o600)
        elif token != fence():
            return {"state": "lost"}
        document = {"holder": request["holder"], "who": request["who"], "until": now() + request["seconds"]}
        write(RUNNING / "lease", json.dumps(document).encode(), 0o600)
    return {"state": "held by you", "token": token}


def release(request: Document) -> Document:
    """End a lease, if it is still ours."""
    with locked("lease.lock"):
        if request["token"] == fence():
            (RUNNING / "lease").unlink(missing_ok=True)
    return {"state": "released"}


def ours(request: Document) -> bool:
    """Whether the request's lease is the last that was given, and nobody else's runs."""
    with locked("lease.lock"):
        newest = bool(request["token"] == fence())
        return newest and bool(current_lease().get("holder", request["holder"]) == request["holder"])
