"""Where a request comes from: only nginx is believed."""

import pytest

from tests.webapp.servers import ui_environment
from webapp import ui
from webapp.ui import session

HEADERS = {"X-Real-IP": "192.0.2.7", "X-Forwarded-For": "192.0.2.8"}


@pytest.mark.parametrize(
    ("proxy", "address"), [("127.0.0.1", "192.0.2.7"), ("10.20.1.10", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_only_the_proxy_says_where_a_request_comes_from(proxy, address):
    app = ui.create_app({**ui_environment("http://127.0.0.1:1"), "PROXY_ADDRESS": proxy})
    with app.test_request_context(headers=HEADERS, environ_base={"REMOTE_ADDR": "127.0.0.1"}):
        assert session.client_address() == address
