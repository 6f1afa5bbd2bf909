"""`python -m webapp.check api|ui`: check that this release works with its environment, before it may serve."""

import json
import os
import secrets
import sys
from collections.abc import Callable
from io import BytesIO

from werkzeug.test import TestResponse

from webapp.environment import Environment
from webapp.requests import PROBE_HEADER

FILE_NAME = "pneumoctl-release-check-{}.png"


class CheckFailed(Exception):
    """This release must not serve; the message says why."""


def check_api() -> dict[str, object]:
    """The API is ready, and an upload of the bundle's known picture scores as it did at export."""
    # Imported here: a host of the page does not have the dependencies of the API, and `main` clears a variable first.
    from webapp.api import create_app
    from webapp.api.services import services

    app = create_app({"ERASE_EXPIRED": "no"})  # what may not serve yet changes nothing that is stored
    with app.app_context():
        api_services = services()
    client = app.test_client()
    _expect(client.get("/readyz"))
    picture = api_services.scorer.known_picture()
    name = FILE_NAME.format(secrets.token_hex(8))  # a new name is a new prediction: the store has no result for it
    headers = {"Authorization": f"Bearer {api_services.settings.token}", PROBE_HEADER: "1"}
    response = client.post("/v1/predictions", headers=headers, data={"file": (BytesIO(picture.png), name)})
    (prediction,) = _expect(response, 201).get_json()["predictions"]
    probability = prediction["probability"]
    if prediction["refusal"] is not None or prediction["finding"] is None:
        raise CheckFailed(f"the known picture was refused: {prediction['refusal']}")
    if not abs(probability - picture.probability) <= picture.tolerance:  # written so that NaN fails
        raise CheckFailed(f"the known picture scored {probability}, not {picture.probability} +- {picture.tolerance}")
    return {"model": prediction["model"], "probability": probability}


def check_ui() -> dict[str, object]:
    """The page can reach the API and is accepted there: the start page shows the latest results, or asks for a login.

    With users, it asks about a session that there is not: only a page whose token is accepted learns that it has ended.
    """
    from webapp.ui import create_app  # here for the same reasons as above

    app = create_app()
    host = app.config["TRUSTED_HOSTS"][0].lstrip(".")
    client = app.test_client()
    client.set_cookie("session", secrets.token_urlsafe(32), domain=host)
    headers = {"Accept": "application/json, text/html;q=0.9"}
    expected = 401 if Environment().auth() == "users" else 200
    for path, status in (("/readyz", 200), ("/", expected)):
        _expect(client.get(path, base_url=f"http://{host}/", headers=headers), status)
    return {}


CHECKS: dict[str, Callable[[], dict[str, object]]] = {"api": check_api, "ui": check_ui}


def _expect(response: TestResponse, status: int = 200) -> TestResponse:
    if response.status_code != status:
        body = response.get_data(as_text=True)[:500].strip()
        raise CheckFailed(f"{response.request.path} answered {response.status_code}: {body}")
    return response


def main(argv: list[str]) -> int:
    """Print a line of JSON to stdout. Returns 0, or 1 with the reason as the last line on stderr."""
    if len(argv) != 1 or argv[0] not in CHECKS:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    # This directory belongs to the running servers; the metrics library reads the variable when it is imported.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    result: dict[str, object]
    try:
        result = {"check": argv[0], "ok": True, **CHECKS[argv[0]]()}
    except Exception as error:  # with any error this release would not serve
        reason = str(error) if isinstance(error, CheckFailed) else f"unexpected error ({type(error).__name__}: {error})"
        result = {"check": argv[0], "ok": False, "reason": " ".join(reason.split())}
        sys.stderr.write(f"{result['reason']}\n")
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
