"""Read a packed tree from a URL, for trees that many hosts get at the same time."""

from __future__ import annotations

import http.client
import urllib.request

from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

TIMEOUT_S = 15.0  # without a byte
WHAT = "download"  # the failed part of a step; the client then sends the tree itself


class DownloadFailed(OSError):
    """The URL cannot be read."""

    def __init__(self, why: object) -> None:
        super().__init__(f"download: {why}")
        self.details = WHAT, 1, str(why)


def save(url: str, size: int, file: IO[bytes]) -> None:
    """Write the `size` bytes of a URL to a file. Raises DownloadFailed."""
    left = size
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310, the client's own URL
            while left > 0 and (part := answer.read(min(left, 1 << 20))):
                left -= file.write(part)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadFailed(error) from error
    if left:
        raise DownloadFailed(f"{left} of {size} bytes are missing")
