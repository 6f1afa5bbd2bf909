"""The HTTP API: scores pictures, stores the results in Redis, and lists them."""

from collections.abc import Mapping

from flask import Flask, Response

from webapp import access_log, requests
from webapp.api import authentication, expiry, health, problems
from webapp.api.account_views import accounts
from webapp.api.change_views import change_views
from webapp.api.film_views import films
from webapp.api.received import worker
from webapp.api.received.stow import dicomweb
from webapp.api.received.views import received
from webapp.api.services import Services, attach
from webapp.api.session_views import sessions
from webapp.api.settings import ApiSettings
from webapp.api.source_views import source_views
from webapp.api.token_views import tokens
from webapp.api.trail_views import trail
from webapp.api.views import api
from webapp.environment import Environment
from webapp.upload import UploadRequest

_FORM_OVERHEAD = 64 * 1024  # bytes of form data around the files: what the page accepts is not rejected here


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """The WSGI app; `config` overrides environment variables of the same names.

    In the background, expired results are erased and all results are read for the lists, unless ERASE_EXPIRED is "no",
    as in the check of a release. If SCORE_RECEIVED is "yes", received films are scored there, too.

    Raises webapp.environment.EnvironmentInvalid or model.bundle.BundleError before the first request.
    """
    environment = Environment(config)
    settings = ApiSettings.read(environment)
    erases = environment.choice("ERASE_EXPIRED", ("yes", "no")) == "yes"
    scores_received = environment.choice("SCORE_RECEIVED", ("no", "yes")) == "yes"
    environment.check()
    app = Flask(__name__, static_folder=None)
    app.request_class = UploadRequest
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.upload_bytes + _FORM_OVERHEAD
    app.config["MAX_FORM_PARTS"] = 64
    services = Services.open(settings)
    attach(app, services)
    access_log.configure()
    access_log.protect_server_log()
    requests.register(app, services.metrics.requests.answered, access_log.answered)
    problems.register(app)
    app.before_request(authentication.authenticate)
    app.register_blueprint(api)
    app.register_blueprint(trail)
    app.register_blueprint(accounts)
    app.register_blueprint(sessions)
    app.register_blueprint(tokens)
    app.register_blueprint(source_views)
    app.register_blueprint(change_views)
    app.register_blueprint(dicomweb)
    app.register_blueprint(received)
    app.register_blueprint(films)
    app.register_blueprint(health.blueprint(services))
    app.after_request(_set_headers)
    if erases:
        app.extensions["expiry"] = expiry.start(services)
        if scores_received:
            app.extensions["received"] = worker.start(services)
        services.store.lists.start()
    return app


def _set_headers(response: Response) -> Response:
    response.headers["X-Request-ID"] = requests.request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response
