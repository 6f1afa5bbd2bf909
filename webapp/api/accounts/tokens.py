"""The tokens of client programs in Redis: each has scopes, is shown once, and is stored as a digest."""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import redis

from webapp.account_documents import TokenScope
from webapp.api.accounts.sealed import closed, digest, names_of, new_token, opened
from webapp.api.accounts.users import moment
from webapp.api.storage.errors import Damaged, Missing, redis_errors
from webapp.api.storage.keys import key_of
from webapp.api.storage.seal import Seal

_FORM = re.compile(r"pneumo_([0-9a-f]{16})_[\w-]{43}", re.ASCII)


@dataclass(frozen=True)
class ClientToken:
    """A token as stored; `digest`: of the whole token."""

    id: str
    name: str
    scopes: tuple[TokenScope, ...]
    created: str
    digest: str


class Tokens:
    """The tokens of all clients. Every method may raise StoreUnavailable. Safe to share between threads."""

    def __init__(self, client: redis.Redis, seal: Seal, now: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._seal = seal
        self._now = now

    def create(self, name: str, scopes: Sequence[TokenScope]) -> tuple[str, ClientToken]:
        """A new token with these scopes: its text, which cannot be had again, and what is stored."""
        identifier = secrets.token_hex(8)
        text = f"pneumo_{identifier}_{new_token()}"
        token = ClientToken(identifier, name, tuple(dict.fromkeys(scopes)), moment(self._now()), digest(text))
        key = key_of("token", identifier)
        with redis_errors():
            self._redis.set(key, closed(self._seal, key, asdict(token)))
        return text, token

    def verified(self, text: str) -> ClientToken | None:
        """The token of that text; None if there is none. Raises Damaged. Redis is asked only for texts of its form."""
        form = _FORM.fullmatch(text)
        token = None if form is None else self._read(form[1])
        return token if token is not None and hmac.compare_digest(token.digest, digest(text)) else None

    def all(self) -> tuple[list[ClientToken], list[str]]:
        """All tokens, oldest first, and the ids of those that are damaged."""
        tokens, damaged = [], []
        for identifier in names_of(self._redis, "token"):
            try:
                found = self._read(identifier)
            except Damaged:
                damaged.append(identifier)
                continue
            tokens += [found] if found is not None else []
        return sorted(tokens, key=lambda token: token.created), damaged

    def revoke(self, identifier: str) -> None:
        """Revoke a token, which is refused from then on, also a damaged one; raises Missing."""
        with redis_errors():
            if not self._redis.delete(key_of("token", identifier)):
                raise Missing("There is no token with that id.")

    def _read(self, identifier: str) -> ClientToken | None:
        key = key_of("token", identifier)
        with redis_errors():
            stored = opened(self._seal, key, self._redis.get(key))
        return None if stored is None else ClientToken(**{**stored, "scopes": tuple(stored["scopes"])})
