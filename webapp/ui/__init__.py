"""The web page: send pictures, see and list results; speaks to the API only."""

import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from flask import Flask, Response, g, request
from jinja2 import StrictUndefined
from werkzeug.routing import BaseConverter

from webapp.environment import Environment
from webapp.gate import Bound
from webapp.ui import errors, guard
from webapp.ui.client import ApiClient
from webapp.ui.metrics import Metrics
from webapp.ui.settings import UiSettings
from webapp.ui.views import Backend, backend, pages
from webapp.upload import UploadRequest

_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


class IdentifierConverter(BaseConverter):
    """A prediction's id in an address."""

    regex = "[0-9a-f]{32}"


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """The WSGI app; `config` overrides the environment, by the same names.

    Raises webapp.environment.EnvironmentInvalid before the first request.
    """
    environment = Environment(config)
    settings = UiSettings.read(environment)
    environment.check()
    app = Flask(__name__)
    app.request_class = UploadRequest
    app.config["TRUSTED_HOSTS"] = settings.trusted_hosts
    app.config["MAX_CONTENT_LENGTH"] = settings.upload_bytes
    app.config["MAX_FORM_PARTS"] = 64
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 300
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # A name that a template does not know is an error, and never an empty place in a finding.
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["moment"] = _moment
    app.jinja_env.filters["share"] = _share
    app.jinja_env.globals["upload_bytes"] = settings.upload_bytes
    app.url_map.converters["identifier"] = IdentifierConverter
    metrics = Metrics()
    client = ApiClient(settings.api_urls, settings.token, settings.timeout, metrics.failed)
    app.extensions["pneumo"] = Backend(client, Bound(settings.pending, retry_after=2), metrics)
    app.before_request(_arrive)
    app.after_request(_leave)
    guard.install(app)
    errors.register(app)
    app.register_blueprint(pages)
    return app


def _arrive() -> None:
    given = request.headers.get("X-Request-ID", "")  # nginx's, so that its log and ours tell of the same
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.start = time.perf_counter()


def _leave(answer: Response) -> Response:
    taken = time.perf_counter() - g.get("start", time.perf_counter())
    backend().metrics.requests.answered(request.url_rule, request.method, answer.status_code, taken)
    return answer


def _share(value: float, other: float) -> str:
    """A share with three digits; more where it would look like the `other` it stands beside, never a false 0 or 1."""
    if value != other and abs(value - other) < 0.001:
        return f"{value:.6f}"
    if 0.9995 <= value < 1:
        return "> 0.999"
    return "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def _moment(created: str) -> str:
    """A time as people read it; one that is none raises ValueError, which becomes an error page."""
    return datetime.fromisoformat(created).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
