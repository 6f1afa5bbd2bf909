"""Which pneumoctl may change the host: each new holder gets a higher token, and older tokens are refused."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.files import content, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees


@contextlib.contextmanager
def locked(name: str, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock of this host. `wait` is called once per second while another process holds it."""
    os.makedirs(on_host.RUNTIME, mode=0o700, exist_ok=True)
    with open(f"{on_host.RUNTIME}/{name}", "a") as file:
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
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        saved: Document = json.loads(content(f"{on_host.RUNTIME}/lease"))
        until, _, _ = saved["until"], saved["holder"], saved["who"]
        if until > now():
            return saved
    return {}


def last_token() -> int:
    """The token of the last lease that was granted."""
    with contextlib.suppress(OSError, ValueError):
        return int(content(f"{on_host.STATE}/fence"))
    return 0


def lease(request: Document, _: Trees) -> Document:
    """Grant a new lease (token None) or renew one. A new holder's token is higher, which fences off older holders."""
    with locked("lease.lock"):
        current, token = current_lease(), request["token"]
        if current and current["holder"] != request["holder"]:
            return {"state": "held", "by": current["who"], "left": current["until"] - now()}
        if token is None:
            token = last_token() + 1
            write(f"{on_host.STATE}/fence", str(token).encode(), 0o600)
        elif token != last_token():
            return {"state": "lost"}
        document = {"holder": request["holder"], "who": request["who"], "until": now() + request["seconds"]}
        write(f"{on_host.RUNTIME}/lease", json.dumps(document).encode(), 0o600)
    return {"state": "granted", "token": token}


def release(request: Document, _: Trees) -> Document:
    """End a lease; no effect if another holder has taken the host over."""
    with locked("lease.lock"):
        if request["token"] == last_token():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{on_host.RUNTIME}/lease")
    return {"state": "released"}


def is_valid(request: Document) -> bool:
    """Whether the request's lease is the last one granted, and no other holder's lease is in force."""
    with locked("lease.lock"):
        newest = bool(request["token"] == last_token())
        return newest and bool(current_lease().get("holder", request["holder"]) == request["holder"])
