"""What Schemathesis is told of the API: who asks, which files are films, and how STOW-RS sends them.

Its command line loads this module in a process of its own.
"""

import itertools
import os
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from schemathesis.transport.serialization import Binary

from model import phantom
from tests.webapp.api.received.films import film, related

TOKEN = {"Authorization": f"Bearer {os.environ['API_TOKEN']}"}
PASSWORD = "correct horse battery"
FILMS = (phantom.png(101, 96, opacity=False), phantom.png(102, 96, opacity=True), film(1), film(2, size=8))
RELATED = "multipart/related"

# Most files that are sent are films, so that there are results to ask for.
schemathesis.openapi.format("binary", (strategies.sampled_from(FILMS) | strategies.binary(max_size=64)).map(Binary))


@schemathesis.serializer(RELATED)
def as_related(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A request of STOW-RS with one part."""
    content = value.data if isinstance(value, Binary) else str(value).encode()
    return related(content)[0]


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """A media type cannot say which boundary a request has."""
    if case.media_type == RELATED:
        case.headers = {**(case.headers or {}), "Content-Type": related()[1]}


@schemathesis.auth(refresh_interval=None)
class Admin:
    """The stack's token; where a route needs a session, that of an admin, and of a new one when that has ended."""

    _numbers = itertools.count()
    _session = ""

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> dict[str, str]:
        if "session" not in str(case.operation.definition.raw.get("security")):
            return TOKEN
        url = str(case.operation.base_url).rstrip("/")
        if not self._session or not self._current(url):
            self._session = self._new(url)
        return {**TOKEN, "Session": self._session}

    def set(self, case: schemathesis.Case, data: dict[str, str], context: schemathesis.AuthContext) -> None:
        case.headers = {**(case.headers or {}), **data}

    def _current(self, url: str) -> bool:
        headers = {**TOKEN, "Session": self._session}
        return requests.get(f"{url}/v1/sessions/current", headers=headers, timeout=60).status_code == 200

    def _new(self, url: str) -> str:
        user = {"name": f"admin-of-tests-{next(self._numbers)}", "role": "admin"}
        invited = requests.post(f"{url}/v1/users", json=user, headers=TOKEN, timeout=60).json()
        login = {"link": invited["link"]["token"], "password": PASSWORD}
        # From another address than the logins that are made up, of which there are soon too many.
        headers = {**TOKEN, "X-Client-Address": "192.0.2.1"}
        return str(requests.post(f"{url}/v1/sessions", json=login, headers=headers, timeout=60).json()["session"])
