"""The sessions of users in Redis. The token of a session is stored as a digest only."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import redis

from webapp.api.accounts.sealed import closed, digest, new_token, opened
from webapp.api.accounts.users import User, Users
from webapp.api.storage.errors import Damaged, StoreFull, redis_errors
from webapp.api.storage.keys import key_of
from webapp.api.storage.seal import Seal
from webapp.api.storage.transactions import transact

_SEEN_SHARE = 30  # a use is recorded after this part of the idle limit, so that not every request writes


@dataclass(frozen=True)
class Session:
    """A session as stored; `began` and `seen` in seconds since 1970. It ends with the epoch of its user."""

    name: str
    epoch: int
    began: float
    seen: float


class Sessions:
    """All sessions. Every method may raise StoreUnavailable. Safe to share between threads.

    limits: how long a session lasts since its last use, and since the login, in seconds.
    """

    def __init__(
        self,
        client: redis.Redis,
        seal: Seal,
        users: Users,
        limits: tuple[float, float],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = client
        self._seal = seal
        self._users = users
        self._idle, self._absolute = limits
        self._now = now

    def begin(self, user: User) -> tuple[str, Session]:
        """A new session of a user who has proven to be that user: its token, and the session."""
        token, now = new_token(), self._now()
        session = Session(user.name, user.epoch, now, now)
        key = _key(token)
        with redis_errors():
            self._redis.set(key, closed(self._seal, key, asdict(session)), ex=self._seconds(session))
        return token, session

    def current(self, token: str, used: bool = True) -> tuple[User, Session] | None:
        """The user and the session of a token; None if it has ended. If it is `used`, that puts its end off.

        A damaged session has ended. Raises Damaged if the user is.
        """
        key = _key(token)
        with redis_errors():
            session = self._read(key, self._redis.get(key))
        if session is None:
            return None
        user = self._users.find(session.name)
        if user is None or user.state != "active" or user.epoch != session.epoch:
            self.end(token)
            return None
        return user, self._used(key, session) if used else session

    def expires(self, session: Session) -> float:
        """When a session ends unless it is used before, in seconds since 1970."""
        return min(session.seen + self._idle, session.began + self._absolute)

    def end(self, token: str) -> None:
        """End a session; also one that has ended."""
        with redis_errors():
            self._redis.delete(_key(token))

    def _used(self, key: str, session: Session) -> Session:
        """Record the use, unless one was recorded shortly before, the session ended meanwhile, or the store is full."""
        if self._now() - session.seen < self._idle / _SEEN_SHARE:
            return session

        def queue(pipe: redis.client.Pipeline) -> Session:
            stored = self._read(key, pipe.get(key))
            if stored is None:  # it was ended while it was used
                return session
            used = replace(stored, seen=self._now())
            pipe.multi()
            pipe.set(key, closed(self._seal, key, asdict(used)), ex=self._seconds(used))
            return used

        with suppress(StoreFull):  # what is stored can be read all the same, until the idle limit
            return transact(self._redis, (key,), queue)
        return session

    def _read(self, key: str, value: bytes | None) -> Session | None:
        try:
            stored = opened(self._seal, key, value)
        except Damaged:
            return None
        session = None if stored is None else Session(**stored)
        return session if session is not None and self._now() < self.expires(session) else None

    def _seconds(self, session: Session) -> int:
        return max(1, int(self.expires(session) - self._now()) + 1)


def _key(token: str) -> str:
    return key_of("session", digest(token))
