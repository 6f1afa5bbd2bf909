"""The HTTP API: score pictures, keep the results in Redis, list them."""

import re
import time
import uuid
from collections.abc import Mapping

from flask import Flask, Response, g, request
from werkzeug.routing import BaseConverter

from webapp.api import health, problems
from webapp.api.services import Services, attach, services
from webapp.api.settings import ApiSettings
from webapp.api.views import api
from webapp.environment import Environment
from webapp.upload import UploadRequest

_FRAME = 64 * 1024  # bytes around the files, so that what the page let through is not refused here
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


class IdentifierConverter(BaseConverter):
    """A prediction's id in an address; anything else is not found and reaches no key of the store."""

    regex = "[0-9a-f]{32}"


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """The WSGI app; `config` overrides the environment, by the same names.

    Raises webapp.environment.EnvironmentInvalid or model.bundle.BundleError before the first request.
    """
    environment = Environment(config)
    settings = ApiSettings.read(environment)
    environment.check()
    app = Flask(__name__, static_folder=None)
    app.request_class = UploadRequest
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.upload_bytes + _FRAME
    app.config["MAX_FORM_PARTS"] = 64
    app.url_map.converters["identifier"] = IdentifierConverter
    made = Services.open(settings)
    attach(app, made)
    problems.register(app)
    app.register_blueprint(api)
    app.register_blueprint(health.blueprint(made))
    app.before_request(_arrive)
    app.after_request(_leave)
    return app


def _arrive() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.start = time.perf_counter()


def _leave(answer: Response) -> Response:
    answer.headers["X-Request-ID"] = g.get("request_id", "none")
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "no-store"
    taken = time.perf_counter() - g.get("start", time.perf_counter())
    services().metrics.requests.answered(request.url_rule, request.method, answer.status_code, taken)
    return answer
