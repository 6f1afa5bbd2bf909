"""The API's calls for users, sessions and the tokens of client programs."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring.api_client import OTHER_VERSION, ApiClient, Refused

ROLES = ("reader", "reviewer", "admin")
SCOPES = ("read", "predict", "review", "export", "dicom")
PROOF = "pneumoctl-proof"  # the user with which `up` proves that a person can have a picture scored
_NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9._-]{1,64}")  # "." and ".." would be other paths of the API
_TOKEN_ID = re.compile(r"[0-9a-f]{1,64}")
Value = TypeVar("Value")
Document = Mapping[str, Any]


def is_name(text: str) -> bool:
    """Whether a user or a token can have that name."""
    return _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """The name of a user or of a token. Raises PneumoError (usage) if it is none."""
    if not is_name(text):
        raise PneumoError(f"{text!r} is no name", "use 1 to 64 of a-z, 0-9, dot, underscore and hyphen", Exit.USAGE)
    if text == PROOF:
        raise PneumoError(f"the name {PROOF} is used by `pneumoctl up`", "choose another name", Exit.USAGE)
    return text


def checked_token_id(text: str) -> str:
    """The id of a token. Raises PneumoError (usage) if it is none."""
    if not _TOKEN_ID.fullmatch(text):
        raise PneumoError(f"{text!r} is no id of a token", "copy it from: pneumoctl tokens ls", Exit.USAGE)
    return text


def require_role(text: str) -> None:
    """Raise PneumoError (usage) if that is no role."""
    if text not in ROLES:
        raise PneumoError(f"{text!r} is no role", f"the roles are: {', '.join(ROLES)}", Exit.USAGE)


def require_scopes(texts: Sequence[str]) -> list[str]:
    """The scopes, each once. Raises PneumoError (usage) if there is none, or one that does not exist."""
    if not texts or set(texts) - set(SCOPES):
        wrong = ", ".join(sorted(set(texts) - set(SCOPES)))
        raise PneumoError(
            f"no such scope: {wrong}" if wrong else "no scope is given", f"--scope {'|'.join(SCOPES)}", Exit.USAGE
        )
    return list(dict.fromkeys(texts))


class Accounts:
    """The accounts of one stack. Every method raises PneumoError; Refused, which has the API's status."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def users(self) -> tuple[list[Document], list[str]]:
        """The documents of all users, and the names of those whose record is damaged."""
        return self._read("GET", "/v1/users", lambda answer: (list(answer["users"]), list(answer.get("damaged", ()))))

    def invite(self, name: str, role: str) -> Document:
        """Add a user; its document has the `link`, which is shown once."""
        return self._read("POST", "/v1/users", _invited, {"name": name, "role": role})

    def change(self, name: str, **changes: Any) -> Document:
        """Change `role` or `disabled` of a user; returns its document."""
        return self._read("PATCH", f"/v1/users/{name}", _document, changes)

    def remove(self, name: str) -> None:
        """Remove a user, whose sessions end."""
        self._ask("DELETE", f"/v1/users/{name}")

    def reset(self, name: str) -> Document:
        """A new link for a user, whose password and sessions end; returns `token` and `expires`."""
        return self._read("POST", f"/v1/users/{name}/link", _link)

    def begin_session(self, link: str, password: str) -> str:
        """Redeem a link by setting a password; returns the token of the session that begins."""
        return self._read(
            "POST", "/v1/sessions", lambda answer: _text(answer["session"]), {"link": link, "password": password}
        )

    def tokens(self) -> tuple[list[Document], list[str]]:
        """The documents of all tokens of client programs, without their texts, and the ids of damaged ones."""
        return self._read("GET", "/v1/tokens", lambda answer: (list(answer["tokens"]), list(answer.get("damaged", ()))))

    def make_token(self, name: str, scopes: Sequence[str]) -> Document:
        """A new token; its document has the text, `token`, which is shown once."""
        return self._read("POST", "/v1/tokens", _document, {"name": name, "scopes": list(scopes)})

    def revoke(self, identifier: str) -> None:
        """Revoke a token."""
        self._ask("DELETE", f"/v1/tokens/{identifier}")

    def _ask(self, method: str, path: str, sent: Any = None) -> Any:
        try:
            return self._api.exchange(method, path, sent)
        except Refused as refused:
            if refused.status in (404, 409):  # what is there and what is not can be looked up
                refused.hint = f"pneumoctl {'tokens' if path.startswith('/v1/tokens') else 'users'} ls"
            raise

    def _read(self, method: str, path: str, parse: Callable[[Any], Value], sent: Any = None) -> Value:
        answer = self._ask(method, path, sent)
        try:
            return parse(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PneumoError("the API's answer about accounts is not valid", OTHER_VERSION) from error


def _document(answer: Any) -> Document:
    if not isinstance(answer, dict):
        raise TypeError("no object")
    return answer


def _invited(answer: Any) -> Document:
    return {**_document(answer), "link": _link(answer)}


def _link(answer: Any) -> Document:
    """The link in an answer, which has it under `link` or is it."""
    link = answer.get("link", answer)
    return {"token": _text(link["token"]), "expires": _text(link["expires"])}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("no text")
    return value
