"""Download one file over HTTP so that it is whole and the right one, and so that a broken download goes on later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from model.data.partial_file import FetchError, Part, State, begun, digest

CHUNK = 1 << 16
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that may be another one a little later
Progress = Callable[[int, int | None], None]  # (bytes there, bytes in all if known)


class _Again(Exception):
    """A fault that may pass: what arrived is kept, and the rest is asked for again."""


@dataclass(frozen=True)
class Download:
    """A file at its publisher. `algorithm`: of the hexadecimal checksum, for hashlib; `size`: bytes, 0 if unknown."""

    name: str
    address: str
    algorithm: str
    checksum: str
    size: int = 0


@dataclass(frozen=True)
class Patience:
    """When to give up. Seconds to wait for a connection and for the next byte; bytes a second that must arrive over
    `window` seconds; tries in a row that bring next to nothing; seconds of the first pause, doubled each time."""

    connect: float = 15.0
    read: float = 30.0
    window: float = 60.0
    slowest: float = 1000.0
    tries: int = 5
    pause: float = 1.0


USUAL = Patience()


def fetch(wanted: Download, directory: Path, progress: Progress = lambda *_: None, patience: Patience = USUAL) -> Path:
    """Download into `directory` and return the path; a right file that is there already is left alone.

    Bytes go to NAME.part, which a later call goes on with if the server still has the same file (If-Range); NAME
    appears only with the right checksum, in one piece. Wrong content is kept as NAME.bad. Raises FetchError.
    """
    target = directory / wanted.name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with begun(directory / f"{wanted.name}.part") as part:
                _receive(wanted, part, progress, patience)
                _accept(wanted, part, target)
        elif digest(target, wanted.algorithm) != wanted.checksum:
            raise FetchError(
                f"{target} is there, but is not the published file: its {wanted.algorithm} differs",
                "move it away or name another place; nothing was changed",
            )
    except OSError as error:
        raise FetchError(
            f"{target} cannot be written: {error.strerror or error}",
            "make room or name another place; the same command goes on where it stopped",
        ) from error
    return target


def _receive(wanted: Download, part: Part, progress: Progress, patience: Patience) -> None:
    """Fill the part until it is whole, trying again as long as tries bring something."""
    failures = 0
    while not _whole(wanted, part):
        before = part.size
        try:
            _request(wanted, part, progress, patience)
            return
        except _Again as fault:
            part.flush()
            failures = 1 if part.size >= before + CHUNK else failures + 1
            if failures >= patience.tries:
                raise FetchError(
                    f"{wanted.address}: {fault} ({part.size:,} bytes are kept)",
                    "run the same command again later: it goes on where it stopped",
                ) from fault
            time.sleep(patience.pause * 2 ** (failures - 1))


def _whole(wanted: Download, part: Part) -> bool:
    """Whether an earlier process was killed after the last byte: then the server need not be asked."""
    return 0 < part.size == part.state(wanted.address).total


def _request(wanted: Download, part: Part, progress: Progress, patience: Patience) -> None:
    import urllib3

    known = part.state(wanted.address)
    # Without a total nobody could tell that the rest belongs to these bytes: then start anew.
    have = part.size if known.total else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "pneumoctl"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": known.validator} if known.validator else {}
    timeout = urllib3.Timeout(connect=patience.connect, read=patience.read)
    follow = urllib3.Retry(total=None, connect=0, read=0, other=0, status=0, redirect=5)
    try:
        with _pool(wanted.address) as pool:
            answer = pool.request(
                "GET", wanted.address, headers=headers, timeout=timeout, retries=follow, preload_content=False
            )
            try:
                _copy(answer, part, _begin(wanted, answer, part, known, have), progress, patience)
            finally:
                answer.close()
    except urllib3.exceptions.MaxRetryError as error:
        raise _Again(_plain(error.reason or error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise _Again(_plain(error)) from error


def _pool(address: str) -> Any:
    """Connections straight to the server, or through the proxy that the environment names for it."""
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _begin(wanted: Download, answer: Any, part: Part, known: State, have: int) -> State:
    """Bring the part to where the body of this answer goes on; returns the state of the file that it belongs to."""
    if wanted.address.startswith("https:") and not urljoin(wanted.address, answer.url or "").startswith("https:"):
        raise FetchError(f"{wanted.address} leads to an address without encryption", "try from another network")
    if answer.status == 200:
        return _anew(wanted, answer, part)
    if answer.status == 206 and _content_range(answer) == (have, known.total):
        return known
    if answer.status in {206, 416}:  # the rest of another file than the one begun here
        part.restart(State())
        raise _Again("the server no longer has the file that was begun")
    reason = f"the server answers {answer.status} {answer.reason or ''}".strip()
    if answer.status in PASSING:
        raise _Again(reason)
    gone = answer.status in {404, 410}
    hint = "the publisher may have moved it: see the data set's page" if gone else "try again later"
    raise FetchError(f"{wanted.address}: {reason}", hint)


def _anew(wanted: Download, answer: Any, part: Part) -> State:
    total = int(answer.headers.get("Content-Length") or 0)
    if wanted.size and total and total != wanted.size:
        raise FetchError(
            f"{wanted.address} offers {total:,} bytes, the published file has {wanted.size:,}",
            "a portal or proxy may be answering for the publisher; try from another network",
        )
    etag = answer.headers.get("ETag", "")
    # A weak ETag promises the same meaning, not the same bytes: If-Range must not carry it (RFC 9110, 13.1.5).
    validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")
    state = State(wanted.address, validator, total)
    part.restart(state)
    part.check_room(total)
    return state


def _copy(answer: Any, part: Part, state: State, progress: Progress, patience: Patience) -> None:
    """Write the body behind the part; raises _Again when it comes too slowly or ends too early."""
    clock, counted = time.monotonic(), part.size
    progress(part.size, state.total or None)
    while data := answer.read1(CHUNK):
        part.write(data)
        progress(part.size, state.total or None)
        passed = time.monotonic() - clock
        if passed >= patience.window:
            if (part.size - counted) / passed < patience.slowest:
                raise _Again(f"the server sends less than {patience.slowest:,.0f} bytes a second")
            clock, counted = time.monotonic(), part.size
    if state.total and part.size != state.total:
        raise _Again(f"the connection ended after {part.size:,} of {state.total:,} bytes")


def _accept(wanted: Download, part: Part, target: Path) -> None:
    """Give a whole part its name if its checksum is right, else the name NAME.bad."""
    part.flush()
    found = digest(part.path, wanted.algorithm)
    if found == wanted.checksum:
        part.move(target)
        return
    bad = target.with_name(f"{target.name}.bad")
    part.move(bad)
    raise FetchError(
        f"{wanted.address} gave other content than published: its {wanted.algorithm} is {found}, "
        f"not {wanted.checksum}; kept as {bad}",
        "run the same command again; if it stays so, the publisher has changed the file",
    )


def _content_range(answer: Any) -> tuple[int, int]:
    """(first byte, bytes in all) of a 206 answer; (-1, -1) when it does not say."""
    try:
        span, total = answer.headers["Content-Range"].removeprefix("bytes ").split("/")
        return int(span.split("-")[0]), int(total)
    except (KeyError, ValueError):
        return -1, -1


def _plain(error: BaseException) -> str:
    import urllib3.exceptions as faults

    words = {
        faults.NameResolutionError: "its name cannot be found; is this machine on the network?",
        faults.NewConnectionError: "no connection; is this machine on the network?",
        faults.TimeoutError: "the server does not answer in time",
        faults.SSLError: f"no trusted connection ({error})",
        faults.ResponseError: "the server leads from address to address without end",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), f"the connection broke ({error})")
