"""Proof that a stack serves: readiness awaited, and a known picture through the web page's own route."""

import json
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError

HEADERS = {"Accept": "application/json", "X-Pneumo-Probe": "1"}  # a probe is kept for a moment and listed nowhere
PICTURE = "pneumoctl-health-check-{}.png"
MOST_LIVES = 2  # a service that was restarted so often while we waited will not come up by itself


def ready(url: str, timeout: float = 3.0) -> tuple[bool, dict[str, Any]]:
    """Whether a readiness address answers 200, and the document it gave (why not, if not)."""
    import urllib3

    try:
        answer = urllib3.request("GET", url, timeout=timeout, retries=False)
        document = answer.json()
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        return False, {"detail": f"no answer: {error.__class__.__name__}"}
    return answer.status == 200, document if isinstance(document, dict) else {}


def wait(url: str, root: Path | None = None, service: str = "", patience: float = 90.0) -> None:
    """Wait until `url` is ready. PneumoError if it never is, at once if the service keeps ending."""
    deadline = time.monotonic() + patience
    lives: set[int] = set()
    while True:
        good, document = ready(url)
        if good:
            return
        lives |= {_pid(root, service)} if root else set()
        why = _hopeless(document, lives)
        if not why and time.monotonic() > deadline:
            why = f"was not ready after {patience:.0f} s"
        if why:
            raise PneumoError(f"{service or url} {why}: {json.dumps(document)}", "pneumoctl logs", Exit.GATE_FAILED)
        time.sleep(0.2)


def _hopeless(document: dict[str, Any], lives: set[int]) -> str:
    """Why waiting longer cannot help; empty if it can."""
    if len(lives - {0}) > MOST_LIVES:
        return "keeps ending"
    known = document.get("checks", {}).get("known_picture", {})
    return "" if known.get("ok", True) else "does not score its known picture as it did at export"


def _pid(root: Path, service: str) -> int:
    from pneumoctl import supervisor

    found = (supervisor.states(root) or {}).get(service)
    return found.pid if found else 0


@dataclass(frozen=True)
class Door:
    """An address of the web page, and the login (name, password) that it wants.

    `fingerprint`: sha256 of the one certificate that it must show; empty: one that authorities vouch for.
    """

    url: str
    fingerprint: str = ""
    login: tuple[str, str] | None = None


def gate(door: Door, bundle: Path) -> dict[str, Any]:
    """Send the bundle's known picture through the web page and read the stored result back.

    Returns the stored prediction document. PneumoError (exit 10) if anything on the way is not as it must be.
    """
    from model import phantom

    known = json.loads((bundle / "bundle.json").read_text())["known_picture"]
    picture = phantom.png(known["seed"], known["size"], known["opacity"])
    name = PICTURE.format(secrets.token_hex(8))  # a new name is a new prediction: nothing is answered from the store
    sent = _json(door, "POST", "/predictions", fields={"file": (name, picture, "image/png")})
    try:
        (prediction,) = sent["predictions"]
        stored = _json(door, "GET", f"/predictions/{prediction['id']}")
        probability = stored["probability"]
        near = abs(probability - known["probability"]) <= known["tolerance"]
    except (KeyError, TypeError, ValueError) as error:
        raise _closed(f"the answer is no prediction: {error!r}") from error
    if stored["refusal"] is not None or stored["finding"] is None:
        raise _closed(f"the known picture was refused: {stored['refusal']}")
    if not near or probability != prediction["probability"]:
        raise _closed(f"the known picture scored {probability}, not {known['probability']} +- {known['tolerance']}")
    return stored


def _json(door: Door, method: str, path: str, **more: Any) -> dict[str, Any]:
    import urllib3

    url = door.url + path
    head = HEADERS | (urllib3.make_headers(basic_auth=":".join(door.login)) if door.login else {})
    pinned: dict[str, Any] = (
        {"cert_reqs": "CERT_NONE", "assert_fingerprint": door.fingerprint} if door.fingerprint else {}
    )
    pool = urllib3.PoolManager(**pinned)

    # Told to come back, it does; no answer at all is an answer.
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


def main(argv: list[str]) -> int:
    """`python -m pneumoctl.health ready URL | wait URL ROOT SERVICE | gate UI_URL BUNDLE`."""
    try:
        if argv[0] == "ready":
            return Exit.DONE if ready(argv[1], timeout=10)[0] else Exit.FAILED
        if argv[0] == "wait":
            wait(argv[1], Path(argv[2]), argv[3])
        else:
            sys.stdout.write(json.dumps(gate(Door(argv[1]), Path(argv[2]))) + "\n")
    except PneumoError as error:
        sys.stderr.write(error.message + "\n")
        return error.code
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
