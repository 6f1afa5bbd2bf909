"""Ask EC2's metadata service whether AWS takes this spot instance back, and stop in time if so."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import time
import urllib.error
import urllib.request

log = logging.getLogger(__name__)
SPOT_S = 5.0
METADATA = "http://169.254.169.254/latest"


def mind(why: list[str]) -> None:
    """Two minutes before AWS takes a spot instance away it says so: stop, with a checkpoint."""
    while True:
        try:
            if (word := notice()) is not None:
                log.warning("AWS takes this instance back: %s", word)
                why.append("spot: AWS takes the instance back")
                os.kill(os.getpid(), signal.SIGTERM)
                return
        except (OSError, http.client.HTTPException):  # no metadata for a moment
            pass
        time.sleep(SPOT_S)


def notice() -> str | None:
    """What the metadata service (IMDSv2) says of an interruption; None while there is none. Raises OSError."""
    ask = urllib.request.Request(f"{METADATA}/api/token", method="PUT")  # noqa: S310
    ask.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with urllib.request.urlopen(ask, timeout=2) as answer:  # noqa: S310
        token = answer.read().decode()
    look = urllib.request.Request(f"{METADATA}/meta-data/spot/instance-action")  # noqa: S310
    look.add_header("X-aws-ec2-metadata-token", token)
    try:
        with urllib.request.urlopen(look, timeout=2) as answer:  # noqa: S310
            return str(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
