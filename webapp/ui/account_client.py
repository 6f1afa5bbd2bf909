"""The API's calls about users for the page: log in and out, and what users change of their own accounts."""

import json
from collections.abc import Mapping
from typing import Any

from flask import g

from model.schema import Invalid, checked
from webapp.account_documents import CurrentSession, NewSession, TotpSecret
from webapp.requests import CLIENT_ADDRESS_HEADER
from webapp.ui.languages.said import say
from webapp.ui.transport import ApiError, Transport


class AccountClient:
    """The API for the user of the current request. Safe to share between threads. Every method raises ApiError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def begin(self, sent: Mapping[str, str], address: str) -> NewSession:
        """Log in with `name`, `password` and `code`, or with `link` and a new `password`; `address`: the user's."""
        answer: NewSession = self._send("POST", "/v1/sessions", sent, NewSession, address)
        return answer

    def current(self) -> CurrentSession:
        """The session of the current request."""
        answer: CurrentSession = self._send("GET", "/v1/sessions/current", None, CurrentSession)
        return answer

    def end(self) -> None:
        """Log out."""
        self._send("DELETE", "/v1/sessions/current")

    def end_all(self) -> None:
        """End all sessions of the user."""
        self._send("DELETE", "/v1/sessions")

    def change_password(self, password: str, new: str, address: str) -> NewSession:
        """Change the password; all sessions end, and a new one begins."""
        sent = {"password": password, "new": new}
        answer: NewSession = self._send("PUT", "/v1/account/password", sent, NewSession, address)
        return answer

    def begin_totp(self, password: str, address: str) -> TotpSecret:
        """A secret for one-time codes, which are asked for once one of them is confirmed."""
        answer: TotpSecret = self._send("POST", "/v1/account/totp", {"password": password}, TotpSecret, address)
        return answer

    def confirm_totp(self, code: str, address: str) -> None:
        """Turn one-time codes on with the first one."""
        self._send("PUT", "/v1/account/totp", {"code": code}, None, address)

    def end_totp(self, password: str, address: str) -> None:
        """Turn one-time codes off."""
        self._send("DELETE", "/v1/account/totp", {"password": password}, None, address)

    def _send(
        self, method: str, path: str, sent: Mapping[str, str] | None = None, wanted: Any = None, address: str = ""
    ) -> Any:
        options: dict[str, Any] = {} if sent is None else {"body": json.dumps(sent)}
        headers = {"Content-Type": "application/json"} if sent is not None else {}
        headers |= {CLIENT_ADDRESS_HEADER: address} if address else {}
        may_repeat = method == "GET"  # an attempt to log in would count twice
        answer = self._transport.request(method, path, g.request_id, may_repeat, headers=headers, **options)
        if wanted is None:
            return None
        try:
            return checked(json.loads(answer.data), wanted)
        except (ValueError, RecursionError, Invalid) as error:
            raise ApiError(
                502, say("The assessment service gave an invalid answer"), say("You are not logged in.")
            ) from error
