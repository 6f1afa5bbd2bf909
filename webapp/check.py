"""`python -m webapp.check api|ui`: whether this release, with this environment, would serve; asked before it may."""

import json
import os
import secrets
import sys
from collections.abc import Callable
from io import BytesIO

from werkzeug.test import TestResponse

from webapp.gate import PROBE_HEADER

PICTURE = "pneumoctl-release-check-{}.png"


class Unfit(Exception):
    """This release must not serve; the message says why."""


def api() -> dict[str, object]:
    """Ready, and the bundle's known picture goes the way of an upload and scores in its band."""
    from webapp.api import create_app
    from webapp.api.services import services

    app = create_app()
    with app.app_context():
        made = services()
    client = app.test_client()
    _good(client.get("/readyz"))
    known = made.scorer.known_picture()
    name = PICTURE.format(secrets.token_hex(8))  # a new name is a new prediction: nothing is answered from the store
    headers = {"Authorization": f"Bearer {made.settings.token}", PROBE_HEADER: "1"}
    sent = client.post("/v1/predictions", headers=headers, data={"file": (BytesIO(known.png), name)})
    (prediction,) = _good(sent, 201).get_json()["predictions"]
    probability = prediction["probability"]
    if prediction["refusal"] is not None or prediction["finding"] is None:
        raise Unfit(f"the known picture was refused: {prediction['refusal']}")
    if not abs(probability - known.probability) <= known.tolerance:  # written so that NaN fails
        raise Unfit(f"the known picture scored {probability}, not {known.probability} +- {known.tolerance}")
    return {"model": prediction["model"], "probability": probability}


def ui() -> dict[str, object]:
    """The API behind the page is ready and lets it in: the first page has the list of results."""
    from webapp.ui import create_app

    app = create_app()
    host = app.config["TRUSTED_HOSTS"][0].lstrip(".")
    client = app.test_client()
    for path in ("/readyz", "/"):
        _good(client.get(path, base_url=f"http://{host}/", headers={"Accept": "application/json, text/html;q=0.9"}))
    return {}


CHECKS: dict[str, Callable[[], dict[str, object]]] = {"api": api, "ui": ui}


def _good(answer: TestResponse, status: int = 200) -> TestResponse:
    if answer.status_code != status:
        raise Unfit(
            f"{answer.request.path} answered {answer.status_code}: {answer.get_data(as_text=True)[:500].strip()}"
        )
    return answer


def main(argv: list[str]) -> int:
    """One line of JSON on stdout; 1 and the reason as the last line on stderr if the release is unfit."""
    if len(argv) != 1 or argv[0] not in CHECKS:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    # Those who serve have theirs; the library reads it when it is imported.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    found: dict[str, object]
    try:
        found = {"check": argv[0], "ok": True, **CHECKS[argv[0]]()}
    except Exception as error:  # whatever it is, this release would not serve
        reason = str(error) if isinstance(error, Unfit) else f"{type(error).__name__}: {error}"
        found = {"check": argv[0], "ok": False, "reason": " ".join(reason.split())}
        sys.stderr.write(f"{found['reason']}\n")
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
