"""Ask the EC2 metadata service whether AWS reclaims this spot instance, and stop the run if so."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import time
import urllib.error
import urllib.request

log = logging.getLogger(__name__)
INTERVAL_S = 5.0
METADATA = "http://169.254.169.254/latest"


def watch(reasons: list[str]) -> None:
    """Wait for the notice, two minutes before AWS reclaims the instance; then stop this process with SIGTERM.

    The run saves a checkpoint and ends; `reasons` gets the reason.
    """
    while True:
        try:
            if (text := notice()) is not None:
                log.warning("AWS reclaims this instance: %s", text)
                reasons.append("spot: AWS reclaims the instance")
                os.kill(os.getpid(), signal.SIGTERM)
                return
        except (OSError, http.client.HTTPException):  # the metadata service may fail for a moment
            pass
        time.sleep(INTERVAL_S)


def notice() -> str | None:
    """The interruption notice of the metadata service (IMDSv2), None if there is none. Raises OSError."""
    token_request = urllib.request.Request(f"{METADATA}/api/token", method="PUT")  # noqa: S310
    token_request.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with urllib.request.urlopen(token_request, timeout=2) as answer:  # noqa: S310
        token = answer.read().decode()
    action_request = urllib.request.Request(f"{METADATA}/meta-data/spot/instance-action")  # noqa: S310
    action_request.add_header("X-aws-ec2-metadata-token", token)
    try:
        with urllib.request.urlopen(action_request, timeout=2) as answer:  # noqa: S310
            return str(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
