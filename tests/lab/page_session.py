"""Log in to the web page of the stack in a lab, as a new user."""

import secrets
import ssl
from typing import Any

import urllib3

from tests.lab.stack_operator import Operator


def request(operator: Operator, method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
    """A request to the web page from the operator's network, with its pinned certificate; redirects are returned."""
    context = ssl.create_default_context(cafile=str(operator.directory / "tls/certificate.pem"))
    url = f"https://{operator.inventory_host('nginx')['public_address']}{path}"
    with operator.lab.in_network_of("operator"), urllib3.PoolManager(ssl_context=context, retries=False) as pool:
        return pool.request(method, url, timeout=30, redirect=False, **more)


def begin(operator: Operator, role: str = "admin") -> dict[str, str]:
    """The headers of a new user who has just set a password, as pneumoctl's link allows."""
    link = operator.json("users", "add", f"tests-{secrets.token_hex(6)}", "--role", role)["link"]
    password = secrets.token_urlsafe(16)
    fields = {"link": link["token"], "password": password, "repeated": password}
    answer = request(operator, "POST", "/set-password", fields=fields, encode_multipart=False)
    assert answer.status == 303, answer.data
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
