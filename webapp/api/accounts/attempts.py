"""Limit how often logins are tried, by name and by the address that they come from."""

import json
import time
from collections.abc import Callable

import redis

from webapp.api.accounts.errors import TooManyAttempts
from webapp.api.accounts.sealed import digest
from webapp.api.accounts.users import moment
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.keys import key_of
from webapp.api.storage.transactions import transact

PER_NAME, PER_ADDRESS = 10, 100  # attempts within the window; a clinic may share one address
WINDOW_S = 15 * 60
_REFUSED_S, _REFUSED_KEPT_S = 3600, 30 * 24 * 3600


class Attempts:
    """The attempts within a window that begins with the first one. Safe to share between threads.

    An attempt is counted before the password is verified, so that attempts beside each other are all counted. If Redis
    cannot count, no attempt is possible: every method may raise StoreUnavailable.
    """

    def __init__(self, client: redis.Redis, now: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._now = now

    def count(self, name: str, address: str) -> None:
        """Count an attempt; raises TooManyAttempts if this one is beyond a limit."""
        self._change(_key("address", address), 1, PER_ADDRESS)
        self._change(_key("name", name), 1, PER_NAME)

    def succeeded(self, name: str, address: str) -> None:
        """An attempt was right: it counts no more, nor do those with the same name."""
        self._change(_key("address", address), -1, None)
        self._change(_key("name", name), -PER_NAME, None)

    def refused(self, user: str) -> str | None:
        """Count a login that was refused: the detail of its entry in the trail, None if it needs none.

        Of an hour, the first one, the tenth, the hundredth and so on have an entry, so that nobody fills the trail.
        Those after the last of them are named by the first entry of a later hour. user: empty for all names that no
        user has.
        """
        key = _key("refused", user)

        def queue(pipe: redis.client.Pipeline) -> str | None:
            now, stored = self._now(), pipe.get(key)
            number, noted, since, until = _refusals(stored)
            if not since <= now < until:
                more = f"{number - noted} more were refused from {moment(since)[:16]}Z on" if number > noted else ""
                number, noted, since, until, detail = 1, 1, now, now + _REFUSED_S, more
            else:
                number += 1
                whole = number == 10 ** (len(str(number)) - 1)
                noted, detail = (number, f"{number} refused since {moment(since)[:16]}Z") if whole else (noted, None)
            pipe.multi()
            pipe.set(key, json.dumps([number, noted, since, until]), ex=_REFUSED_KEPT_S)
            return detail

        return transact(self._redis, (key,), queue)

    def _change(self, key: str, by: int, limit: int | None) -> None:
        def queue(pipe: redis.client.Pipeline) -> None:
            now = self._now()
            number, until = _read(pipe.get(key), now)
            if limit is not None and number >= limit:
                raise TooManyAttempts(max(1, round(until - now)))
            pipe.multi()
            value = json.dumps([max(0, number + by), until])
            pipe.set(key, value, ex=max(1, round(until - now)))

        transact(self._redis, (key,), queue)


def _read(value: bytes | None, now: float) -> tuple[int, float]:
    """How many attempts there were, and when their window ends; what cannot be read is no login."""
    if value is None:
        return 0, now + WINDOW_S
    try:
        number, until = json.loads(value)
        number, until = int(number), float(until)
    except (ValueError, TypeError) as error:
        raise StoreUnavailable("the count of login attempts is damaged") from error
    if not now < until <= now + WINDOW_S:
        return 0, now + WINDOW_S
    return number, until


def _refusals(value: bytes | None) -> tuple[int, int, float, float]:
    """How many logins were refused, the number that the last entry had, and the window; a damaged value has none."""
    try:
        number, noted, since, until = json.loads(value or b"")
        return int(number), int(noted), float(since), float(until)
    except (ValueError, TypeError):
        return 0, 0, 0.0, 0.0


def _key(kind: str, value: str) -> str:
    return key_of("attempts", digest(f"{kind}:{value}"))
