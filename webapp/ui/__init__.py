"""The web page: upload pictures, show and list results. It talks to the API only."""

from collections.abc import Mapping

from flask import Flask
from jinja2 import StrictUndefined

from webapp import access_log, requests
from webapp.concurrency import ConcurrencyLimit
from webapp.environment import Environment
from webapp.ui import errors, guard, session, themes
from webapp.ui.account_client import AccountClient
from webapp.ui.account_views import account
from webapp.ui.check_views import checks
from webapp.ui.client import ApiClient
from webapp.ui.downloads import files
from webapp.ui.film import stored_size
from webapp.ui.film_views import films
from webapp.ui.find import finding
from webapp.ui.languages import choice
from webapp.ui.live import live
from webapp.ui.login_views import login
from webapp.ui.metrics import Metrics
from webapp.ui.received_views import received
from webapp.ui.review_views import reviews
from webapp.ui.settings import UiSettings
from webapp.ui.study_views import studies
from webapp.ui.transport import Transport
from webapp.ui.views import Backend, pages
from webapp.upload import UploadRequest


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """The WSGI app; `config` overrides environment variables of the same names.

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
    _configure_templates(app, settings)
    metrics = Metrics()
    api = Transport(
        settings.api_urls,
        settings.token,
        settings.limits,
        metrics.failed,
        socket=settings.api_socket,
        credentials=session.credentials,
    )
    app.extensions["pneumo"] = Backend(ApiClient(api), ConcurrencyLimit(settings.max_pending, retry_after=2), metrics)
    requests.register(app, metrics.requests.answered)
    guard.install(app)
    session.install(app, settings.auth, AccountClient(api), settings.proxy)
    access_log.protect_server_log()
    errors.register(app)
    themes.install(app)
    choice.install(app)
    app.register_blueprint(checks)
    app.register_blueprint(pages)
    app.register_blueprint(received)
    app.register_blueprint(reviews)
    app.register_blueprint(files)
    app.register_blueprint(films)
    app.register_blueprint(finding)
    app.register_blueprint(live)
    app.register_blueprint(studies)
    if settings.auth == "users":
        app.register_blueprint(login)
        app.register_blueprint(account)
    return app


def _configure_templates(app: Flask, settings: UiSettings) -> None:
    # An undefined name in a template is an error, never an empty gap in a finding.
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["stored_size"] = stored_size
    app.jinja_env.tests["identifier"] = requests.is_identifier
    app.jinja_env.globals["upload_bytes"] = settings.upload_bytes
