"""Download a file over HTTP, verify its checksum, and continue interrupted downloads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from model.data.partial_file import FetchError, PartialFile, RemoteFile, open_partial
from model.files import file_digest

CHUNK = 1 << 16
TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
Progress = Callable[[int, int | None], None]  # (bytes received, total bytes if known)


class _TransientError(Exception):
    """A failure after which the download is retried from the bytes already received."""


@dataclass(frozen=True)
class Download:
    """A published file. `algorithm`: of the hexadecimal checksum, as hashlib names it; `size`: bytes or 0."""

    name: str
    address: str
    algorithm: str
    checksum: str
    size: int = 0


@dataclass(frozen=True)
class RetryPolicy:
    """When to retry and when to give up.

    connect, read: timeouts for the connection and for the next byte, in seconds. slowest: the least bytes per second
    over `window` seconds. tries: attempts in a row without progress. pause: seconds before the first retry, doubled
    with each further one.
    """

    connect: float = 15.0
    read: float = 30.0
    window: float = 60.0
    slowest: float = 1000.0
    tries: int = 5
    pause: float = 1.0


DEFAULT_POLICY = RetryPolicy()


def fetch(
    wanted: Download, directory: Path, progress: Progress = lambda *_: None, policy: RetryPolicy = DEFAULT_POLICY
) -> Path:
    """Download into `directory` and return the path; a file that exists with the right checksum is left unchanged.

    Bytes go to NAME.part, which a later call continues if the server still has the same file (If-Range). It is renamed
    to NAME if its checksum is right, else to NAME.bad. Raises FetchError.
    """
    target = directory / wanted.name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with open_partial(directory / f"{wanted.name}.part") as part:
                _receive(wanted, part, progress, policy)
                _accept(wanted, part, target)
        elif file_digest(target, wanted.algorithm) != wanted.checksum:
            raise FetchError(
                f"{target} exists, but is not the published file: its {wanted.algorithm} differs",
                "move it away or give another directory; nothing was changed",
            )
    except OSError as error:
        raise FetchError(
            f"{target} cannot be written: {error.strerror or error}",
            "free some space or give another directory, then run the same command again: it continues the download",
        ) from error
    return target


def _receive(wanted: Download, part: PartialFile, progress: Progress, policy: RetryPolicy) -> None:
    """Receive the file; retry until `tries` attempts in a row brought no progress."""
    failures = 0
    while not _is_complete(wanted, part):
        before = part.size
        try:
            _request(wanted, part, progress, policy)
            return
        except _TransientError as fault:
            part.flush()
            failures = 1 if part.size >= before + CHUNK else failures + 1
            if failures >= policy.tries:
                raise FetchError(
                    f"{wanted.address}: {fault} ({part.size:,} bytes were received)",
                    "run the same command again later: it continues the download",
                ) from fault
            time.sleep(policy.pause * 2 ** (failures - 1))


def _is_complete(wanted: Download, part: PartialFile) -> bool:
    """Whether all bytes were received, by a process that was killed before it renamed the file."""
    return 0 < part.size == part.remote(wanted.address).total


def _request(wanted: Download, part: PartialFile, progress: Progress, policy: RetryPolicy) -> None:
    import urllib3

    remote = part.remote(wanted.address)
    # Without a total size nothing shows that the rest belongs to these bytes: then start again.
    received = part.size if remote.total else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "pneumoctl"}
    if received:
        headers["Range"] = f"bytes={received}-"
        headers |= {"If-Range": remote.validator} if remote.validator else {}
    timeout = urllib3.Timeout(connect=policy.connect, read=policy.read)
    follow = urllib3.Retry(total=None, connect=0, read=0, other=0, status=0, redirect=5)
    try:
        with _pool(wanted.address) as pool:
            answer = pool.request(
                "GET", wanted.address, headers=headers, timeout=timeout, retries=follow, preload_content=False
            )
            try:
                _copy(answer, part, _prepare(wanted, answer, part, remote, received), progress, policy)
            finally:
                answer.close()
    except urllib3.exceptions.MaxRetryError as error:
        raise _TransientError(_reason(error.reason or error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(_reason(error)) from error


def _pool(address: str) -> Any:
    """Connections to the server, through the proxy of the environment if there is one."""
    import urllib3

    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _prepare(wanted: Download, answer: Any, part: PartialFile, remote: RemoteFile, received: int) -> RemoteFile:
    """Prepare the partial file for the body of this answer; returns the remote file that it belongs to."""
    if wanted.address.startswith("https:") and not urljoin(wanted.address, answer.url or "").startswith("https:"):
        raise FetchError(f"{wanted.address} redirects to an unencrypted address", "try from another network")
    if answer.status == 200:
        return _restart(wanted, answer, part)
    if answer.status == 206 and _content_range(answer) == (received, remote.total):
        return remote
    if answer.status in {206, 416}:  # the file on the server has changed
        part.restart(RemoteFile())
        raise _TransientError("the file on the server has changed")
    reason = f"the server answered {answer.status} {answer.reason or ''}".strip()
    if answer.status in TRANSIENT_STATUSES:
        raise _TransientError(reason)
    gone = answer.status in {404, 410}
    hint = "the publisher may have moved it: see the page of the data set" if gone else "try again later"
    raise FetchError(f"{wanted.address}: {reason}", hint)


def _restart(wanted: Download, answer: Any, part: PartialFile) -> RemoteFile:
    total = int(answer.headers.get("Content-Length") or 0)
    if wanted.size and total and total != wanted.size:
        raise FetchError(
            f"{wanted.address} offers {total:,} bytes, the published file has {wanted.size:,}",
            "a portal or proxy may answer in place of the publisher; try from another network",
        )
    etag = answer.headers.get("ETag", "")
    # A weak ETag does not guarantee identical bytes, so If-Range must not use it (RFC 9110, 13.1.5).
    validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")
    remote = RemoteFile(wanted.address, validator, total)
    part.restart(remote)
    part.check_room(total)
    return remote


def _copy(answer: Any, part: PartialFile, remote: RemoteFile, progress: Progress, policy: RetryPolicy) -> None:
    """Append the body to the partial file. Raises _TransientError if it is too slow or too short."""
    window_start, counted = time.monotonic(), part.size
    progress(part.size, remote.total or None)
    while data := answer.read1(CHUNK):
        part.write(data)
        progress(part.size, remote.total or None)
        elapsed = time.monotonic() - window_start
        if elapsed >= policy.window:
            if (part.size - counted) / elapsed < policy.slowest:
                raise _TransientError(f"the server sends less than {policy.slowest:,.0f} bytes per second")
            window_start, counted = time.monotonic(), part.size
    if remote.total and part.size != remote.total:
        raise _TransientError(f"the connection ended after {part.size:,} of {remote.total:,} bytes")


def _accept(wanted: Download, part: PartialFile, target: Path) -> None:
    """Rename the complete file to NAME if its checksum is right, else to NAME.bad."""
    part.flush()
    actual = file_digest(part.path, wanted.algorithm)
    if actual == wanted.checksum:
        part.move(target)
        return
    bad = target.with_name(f"{target.name}.bad")
    part.move(bad)
    raise FetchError(
        f"{wanted.address} is not the published file: its {wanted.algorithm} is {actual}, "
        f"not {wanted.checksum}; it was saved as {bad}",
        "run the same command again; if the error persists, the publisher has changed the file",
    )


def _content_range(answer: Any) -> tuple[int, int]:
    """(first byte, total bytes) of a 206 answer; (-1, -1) if it does not state them."""
    try:
        span, total = answer.headers["Content-Range"].removeprefix("bytes ").split("/")
        return int(span.split("-")[0]), int(total)
    except (KeyError, ValueError):
        return -1, -1


def _reason(error: BaseException) -> str:
    import urllib3.exceptions as faults

    reasons = {
        faults.NameResolutionError: "its host name cannot be resolved; is this machine connected to the network?",
        faults.NewConnectionError: "the connection failed; is this machine connected to the network?",
        faults.TimeoutError: "the server did not answer in time",
        faults.SSLError: f"the TLS connection failed ({error})",
        faults.ResponseError: "the server redirects endlessly",
    }
    return next(
        (text for kind, text in reasons.items() if isinstance(error, kind)), f"the connection was lost ({error})"
    )
