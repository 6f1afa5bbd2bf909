"""The page with a real API, and with a fake API whose responses a test chooses."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from tests.serving import serving
from tests.webapp.servers import ui_environment
from tests.webapp.ui.users import UsersPage
from webapp import api, ui


@dataclass
class FakeApi:
    """The response of a fake API to every request, and the requests it received."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def fake_api() -> Iterator[FakeApi]:
    """A fake API on its own port."""
    answer = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer.asked.append((self.command, self.path, body))
            time.sleep(answer.delay)
            if answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.kind, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # the client closed the connection
                self.wfile.write(answer.body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        answer.url = f"http://127.0.0.1:{server.server_port}"
        yield answer


@pytest.fixture
def api_app(config):
    """A real API app."""
    return api.create_app(config)


@pytest.fixture
def api_url(api_app) -> Iterator[str]:
    """A real API on its own port."""
    with serving(make_server("127.0.0.1", 0, api_app, threaded=True)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def page_for(url: str, **more: object) -> FlaskClient:
    """The page for the API at `url`."""
    return ui.create_app({**ui_environment(url), **more}).test_client()


@pytest.fixture
def page(api_url: str) -> FlaskClient:
    """The page for a real API."""
    return page_for(api_url)


@pytest.fixture
def page_of_fake_api(fake_api: FakeApi) -> FlaskClient:
    """The page for the fake API."""
    return page_for(fake_api.url)


@pytest.fixture
def users(config) -> Iterator[UsersPage]:
    """The page and a real API with AUTH=users."""
    app = api.create_app({**config, "AUTH": "users", "PAGE_TOKEN": "the-token-of-the-page"})
    with serving(make_server("127.0.0.1", 0, app, threaded=True)) as server:
        yield UsersPage(f"http://127.0.0.1:{server.server_port}", app)


@pytest.fixture
def result(users, clear_picture) -> str:
    """The address of a result that is stored for the page with users."""
    (document,) = users.api.operator.sent((clear_picture, "a.png"))
    return f"/predictions/{document['id']}"
