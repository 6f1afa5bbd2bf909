"""The health gate: send a known picture through the web page."""

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from model import phantom
from pneumoctl.errors import Exit, PneumoError, in_words

HEADERS = {"Accept": "application/json", "X-Pneumo-Probe": "1"}  # a probe's result is stored briefly, not listed


UNAUTHORIZED = HTTPStatus.UNAUTHORIZED.value
PICTURE = "pneumoctl-health-check-{}.png"
# Longer than nginx waits for the page (templates/nginx), which answers 504 then: a page that hangs is no silence.
ANSWER_S = 90.0


class NoAnswer(PneumoError):
    """The page gave no answer at all: over a network that is no finding about the release."""


class OtherCertificate(PneumoError):
    """Something answers with a certificate that is not accepted: that is no finding about the release, either."""


@dataclass(frozen=True)
class WebEndpoint:
    """The URL of the web page, and the token of a session there; empty if the page asks for no login.

    `fingerprint`: SHA-256 of the only certificate to accept; empty: verify it with the certificate authorities.
    """

    url: str
    fingerprint: str = ""
    session: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The cookie of the session."""
        return {"Cookie": f"{cookie(self.url)}={self.session}"} if self.session else {}


def cookie(url: str) -> str:
    """The name of the page's cookie (webapp/ui/session.py): only https can set one whose name begins with __Host-."""
    return "__Host-session" if url.startswith("https:") else "session"


def require_login(door: WebEndpoint) -> None:
    """Raise PneumoError (exit 10) if the page answers somebody who is not logged in; NoAnswer, OtherCertificate."""
    stranger = replace(door, session="")
    for method, path in (("GET", "/predictions"), ("POST", "/predictions")):
        answer = _ask(stranger, method, path)
        if answer.status != UNAUTHORIZED:
            where = f"{method} {door.url}{path} without a login"
            raise failed(f"{where} answered {answer.status}, not {UNAUTHORIZED}: the page may be open to everybody")


def gate(door: WebEndpoint, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Send the known picture of the model that serves through the web page, and read the stored result back.

    `manifest`: that of the bundle on the hosts. What the answer says of its model is compared with it, never believed.
    Returns the stored prediction document. Raises PneumoError (exit 10) if an answer or the score is wrong, NoAnswer
    (exit 1) if there is none, and OtherCertificate (exit 1).
    """
    known = manifest["known_picture"]
    picture = phantom.png(known["seed"], known["size"], known["opacity"])
    name = PICTURE.format(secrets.token_hex(8))  # a new name: no stored prediction answers
    sent = _json(door, "POST", "/predictions", fields={"file": (name, picture, "image/png")})
    try:
        (prediction,) = sent["predictions"]
        stored = _json(door, "GET", f"/predictions/{prediction['id']}")
        fault = _fault(stored, manifest)
        if not fault and stored["probability"] != prediction["probability"]:
            fault = f"{prediction['probability']} was answered, and {stored['probability']} is stored"
    except (KeyError, TypeError, ValueError) as error:
        raise failed(f"the answer is no prediction: {in_words(error)}") from error
    if fault:
        raise failed(fault)
    return stored


def _fault(answer: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Why the answer is not that of this model to its known picture; empty if it is."""
    if answer["refusal"] is not None or answer["finding"] is None:
        return f"the known picture was refused: {answer['refusal']}"
    model, known = f"{manifest['name']}-{manifest['version']}", manifest["known_picture"]
    answered, threshold = f"{answer['model']['name']}-{answer['model']['version']}", answer["threshold"]
    if answered != model or threshold != manifest["operating_point"]["threshold"]:
        return f"{answered} answered with the threshold {threshold}, but the hosts serve {model}"
    if not abs(answer["probability"] - known["probability"]) <= known["tolerance"]:  # written so that NaN fails
        expected = f"{known['probability']} +- {known['tolerance']}"
        return f"the known picture of {model} scored {answer['probability']}, not {expected}"
    return ""


def _json(door: WebEndpoint, method: str, path: str, **more: Any) -> dict[str, Any]:
    """The JSON document of an answer. Raises PneumoError (exit 10) for any other answer."""
    answer = _ask(door, method, path, **more)
    try:
        document = answer.json()
    except ValueError:
        document = None
    if answer.status not in (200, 201) or not isinstance(document, dict):
        url, text = door.url + path, answer.data.decode(errors="replace")[:500]
        raise failed(f"{method} {url} answered {answer.status}: {text}")
    return document


def _ask(door: WebEndpoint, method: str, path: str, **more: Any) -> Any:
    """The answer of the page (urllib3's). Raises NoAnswer or OtherCertificate."""
    import urllib3

    url, head = door.url + path, HEADERS | door.headers
    pinned: dict[str, Any] = (
        {"cert_reqs": "CERT_NONE", "assert_fingerprint": door.fingerprint} if door.fingerprint else {}
    )
    pool = urllib3.PoolManager(**pinned)

    # Retry if the server says that it is busy. Do not retry if there is no answer, or another certificate.
    busy = urllib3.Retry(
        5,
        connect=0,
        read=0,
        other=0,
        status_forcelist=(429, 503),
        allowed_methods=None,
        backoff_factor=1,
        raise_on_status=False,
    )
    try:
        limit = urllib3.Timeout(connect=5, read=ANSWER_S)
        return pool.request(method, url, headers=head, timeout=limit, retries=busy, redirect=False, **more)
    except urllib3.exceptions.HTTPError as error:
        if why := _why_not_accepted(error):
            raise OtherCertificate(f"{method} {url} was not sent: {why}", "pneumoctl status") from error
        raise NoAnswer(f"{method} {url} gave no answer: {in_words(error)}", "pneumoctl status") from error


def _why_not_accepted(error: Exception) -> str:
    """Why a certificate was not accepted; empty if the error has another cause."""
    import urllib3

    reason = getattr(error, "reason", error)
    if not isinstance(reason, urllib3.exceptions.SSLError):
        return ""
    cause = reason.args[0] if reason.args else ""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of the page was not accepted: {cause.verify_message or in_words(cause)}"
    return "the page shows another certificate than the stack's" if "ingerprint" in str(cause) else ""


def failed(why: str) -> PneumoError:
    """The error of a health gate that failed."""
    return PneumoError(f"health gate: {why}", "pneumoctl logs", Exit.GATE_FAILED)
