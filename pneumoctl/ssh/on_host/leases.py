"""Which pneumoctl may change the host: each new holder gets a higher token, and older tokens are refused."""

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pneumoctl.ssh.on_host.files import write

Document = dict[str, Any]
STATE = Path("/var/lib/pneumoctl")  # the last token survives a reboot
RUNTIME = Path("/run/pneumoctl")  # leases and locks end with a reboot


@contextlib.contextmanager
def locked(name: str, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock of this host. `wait` is called once per second while another process holds it."""
    RUNTIME.mkdir(mode=0o700, exist_ok=True)
    with open(RUNTIME / name, "a") as file:  # noqa: PTH123, held open
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
    """Seconds since boot including suspend; nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def current_lease() -> Document:
    """The lease in force; {} if there is none."""
    with contextlib.suppress(OSError, ValueError):
        saved: Document = json.loads((RUNTIME / "lease").read_text())
        if saved["until"] > now():
            return saved
    return {}


def last_token() -> int:
    """The token of the last lease that was granted."""
    with contextlib.suppress(OSError, ValueError):
        return int((STATE / "fence").read_text())
    return 0


def lease(request: Document) -> Document:
    """Grant a new lease (token None) or renew one. A new holder's token is higher, which fences off older holders."""
    with locked("lease.lock"):
        current, token = current_lease(), request["token"]
        if current and current["holder"] != request["holder"]:
            return {"state": "held", "by": current["who"], "left": current["until"] - now()}
        if token is None:
            token = last_token() + 1
            write(STATE / "fence", str(token).encode(), 0o600)
        elif token != last_token():
            return {"state": "lost"}
        document = {"holder": request["holder"], "who": request["who"], "until": now() + request["seconds"]}
        write(RUNTIME / "lease", json.dumps(document).encode(), 0o600)
    return {"state": "granted", "token": token}


def release(request: Document) -> Document:
    """End a lease; no effect if another holder has taken the host over."""
    with locked("lease.lock"):
        if request["token"] == last_token():
            (RUNTIME / "lease").unlink(missing_ok=True)
    return {"state": "released"}


def is_valid(request: Document) -> bool:
    """Whether the request's lease is the last one granted, and no other holder's lease is in force."""
    with locked("lease.lock"):
        newest = bool(request["token"] == last_token())
        return newest and bool(current_lease().get("holder", request["holder"]) == request["holder"])
