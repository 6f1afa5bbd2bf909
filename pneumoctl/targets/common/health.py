"""The health gate: send a known picture through the web page."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import phantom
from pneumoctl.errors import Exit, PneumoError

HEADERS = {"Accept": "application/json", "X-Pneumo-Probe": "1"}  # a probe's result is stored briefly, not listed


PICTURE = "pneumoctl-health-check-{}.png"


@dataclass(frozen=True)
class WebEndpoint:
    """The URL of the web page, and the login (name, password) that it requires.

    `fingerprint`: SHA-256 of the only certificate to accept; empty: verify it with the certificate authorities.
    """

    url: str
    fingerprint: str = ""
    login: tuple[str, str] | None = None


def gate(door: WebEndpoint, bundle: Path) -> dict[str, Any]:
    """Send the bundle's known picture through the web page and read the stored result back.

    Returns the stored prediction document. Raises PneumoError (exit 10) if a request fails or the score is wrong.
    """
    recorded = json.loads((bundle / "bundle.json").read_text())["known_picture"]
    picture = phantom.png(recorded["seed"], recorded["size"], recorded["opacity"])
    name = PICTURE.format(secrets.token_hex(8))  # a new name: no stored prediction answers
    sent = _json(door, "POST", "/predictions", fields={"file": (name, picture, "image/png")})
    try:
        (prediction,) = sent["predictions"]
        stored = _json(door, "GET", f"/predictions/{prediction['id']}")
        probability = stored["probability"]
        near = abs(probability - recorded["probability"]) <= recorded["tolerance"]
    except (KeyError, TypeError, ValueError) as error:
        raise _closed(f"the answer is no prediction: {error!r}") from error
    if stored["refusal"] is not None or stored["finding"] is None:
        raise _closed(f"the known picture was refused: {stored['refusal']}")
    if not near or probability != prediction["probability"]:
        raise _closed(
            f"the known picture scored {probability}, not {recorded['probability']} +- {recorded['tolerance']}"
        )
    return stored


def _json(door: WebEndpoint, method: str, path: str, **more: Any) -> dict[str, Any]:
    import urllib3

    url = door.url + path
    head = HEADERS | (urllib3.make_headers(basic_auth=":".join(door.login)) if door.login else {})
    pinned: dict[str, Any] = (
        {"cert_reqs": "CERT_NONE", "assert_fingerprint": door.fingerprint} if door.fingerprint else {}
    )
    pool = urllib3.PoolManager(**pinned)

    # Retry if the server says that it is busy. Do not retry if there is no answer.
    busy = urllib3.Retry(
        5, connect=0, read=0, status_forcelist=(429, 503), allowed_methods=None, backoff_factor=1, raise_on_status=False
    )
    try:
        answer = pool.request(
            method, url, headers=head, timeout=urllib3.Timeout(connect=5, read=30), retries=busy, **more
        )
        document = answer.json()
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise _closed(f"{method} {url} gave no answer: {error}") from error
    if answer.status not in (200, 201) or not isinstance(document, dict):
        raise _closed(f"{method} {url} answered {answer.status}: {json.dumps(document)[:500]}")
    return document


def _closed(why: str) -> PneumoError:
    return PneumoError(f"health gate: {why}", "pneumoctl logs", Exit.GATE_FAILED)
