"""The users in Redis, and the links with which they set their first password."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import redis

from webapp.account_documents import Role, State
from webapp.api.accounts.errors import Exists, LastAdmin, LinkInvalid
from webapp.api.accounts.sealed import closed, digest, names_of, new_token, opened
from webapp.api.storage.errors import Damaged, Missing, redis_errors
from webapp.api.storage.keys import key_of
from webapp.api.storage.seal import Seal
from webapp.api.storage.transactions import transact

LINK_S = 72 * 3600
_NO_USER = "There is no user of that name."


@dataclass(frozen=True)
class Totp:
    """The second factor of a user: what its secret is derived from, and the last time step that was accepted."""

    key: str
    nonce: str
    confirmed: bool = False
    last: int = 0


@dataclass(frozen=True)
class User:
    """A user as stored. `password`: its hash; None until it is set by the link, of which `link` is the digest.

    epoch: sessions that began in an earlier epoch have ended. Times are ISO 8601 in UTC.
    """

    name: str
    role: Role
    created: str
    password: str | None = None
    disabled: bool = False
    epoch: int = 0
    link: str | None = None
    last_login: str | None = None
    totp: Totp | None = None

    @property
    def state(self) -> State:
        """Whether the user may log in: "active", or why not."""
        if self.disabled:
            return "disabled"
        return "invited" if self.password is None else "active"

    @property
    def needs_code(self) -> bool:
        """Whether a login needs a one-time code."""
        return self.totp is not None and self.totp.confirmed


@dataclass(frozen=True)
class Link:
    """A link for one use: its token, which is stored nowhere, and when it expires (ISO 8601, UTC)."""

    token: str
    expires: str


class Users:
    """All users. Every method may raise StoreUnavailable. Safe to share between threads."""

    def __init__(self, client: redis.Redis, seal: Seal, now: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._seal = seal
        self._now = now

    def create(self, name: str, role: Role) -> tuple[User, Link]:
        """A new user, and the link with which the password is set; raises Exists. A damaged user is replaced."""
        key, token = key_of("user", name), new_token()
        user = User(name, role, moment(self._now()), epoch=secrets.randbits(48), link=digest(token))

        def queue(pipe: redis.client.Pipeline) -> User:
            try:
                if self._read(pipe, name) is not None:
                    raise Exists(name)
            except Damaged:
                pass
            pipe.multi()
            self._write(pipe, user)
            self._write_link(pipe, token, name)
            return user

        return transact(self._redis, (key,), queue), self._link(token)

    def find(self, name: str) -> User | None:
        """The user of that name; None if there is none. Raises Damaged."""
        with redis_errors():
            return self._read(self._redis, name)

    def all(self) -> tuple[list[User], list[str]]:
        """All users by name, and the names of those that are damaged."""
        users, damaged = [], []
        for name in names_of(self._redis, "user"):
            try:
                found = self.find(name)
            except Damaged:
                damaged.append(name)
                continue
            users += [found] if found is not None else []
        return users, damaged

    def update(self, name: str, change: Callable[[User], User]) -> User:
        """Change a user; `change` may be called more than once, and may raise. Raises Missing or Damaged."""

        def queue(pipe: redis.client.Pipeline) -> User:
            user = change(self._existing(pipe, name))
            pipe.multi()
            self._write(pipe, user)
            return user

        return transact(self._redis, (key_of("user", name),), queue)

    def change(self, name: str, role: Role | None, disabled: bool | None) -> User | None:
        """Change a role, or disable or enable a user, whose sessions then end. Raises LastAdmin or Missing."""

        def changed(user: User) -> User:
            new = replace(user, role=role or user.role, disabled=user.disabled if disabled is None else disabled)
            return replace(new, epoch=new.epoch + 1) if new.disabled != user.disabled else new

        return self._keeping_an_admin(name, changed)

    def remove(self, name: str) -> None:
        """Remove a user, also a damaged one. Raises LastAdmin or Missing."""
        self._keeping_an_admin(name, None)

    def new_link(self, name: str) -> tuple[User, Link]:
        """A new link; the password, the second factor and the sessions of the user end. Raises Missing or Damaged."""
        token = new_token()

        def queue(pipe: redis.client.Pipeline) -> User:
            user = self._existing(pipe, name)
            user = replace(user, password=None, totp=None, link=digest(token), epoch=user.epoch + 1)
            pipe.multi()
            self._write(pipe, user)
            self._write_link(pipe, token, name)
            return user

        return transact(self._redis, (key_of("user", name),), queue), self._link(token)

    def named_by(self, token: str) -> User:
        """The user whose link it is; raises LinkInvalid."""
        key = key_of("link", digest(token))
        with redis_errors():
            stored = opened(self._seal, key, self._redis.get(key))
        user = None if stored is None or stored["expires"] <= self._now() else self.find(stored["name"])
        if user is None or user.link != digest(token) or user.disabled:
            raise LinkInvalid
        return user

    def set_password_by_link(self, token: str, hashed: str) -> User:
        """Set the password of the user whose link it is, which ends the link and all sessions; raises LinkInvalid."""
        name = self.named_by(token).name
        user_key, link_key = key_of("user", name), key_of("link", digest(token))

        def queue(pipe: redis.client.Pipeline) -> User:
            user = self._read(pipe, name)
            if pipe.get(link_key) is None or user is None or user.link != digest(token) or user.disabled:
                raise LinkInvalid
            user = replace(user, password=hashed, link=None, epoch=user.epoch + 1, last_login=moment(self._now()))
            pipe.multi()
            self._write(pipe, user)
            pipe.delete(link_key)
            return user

        return transact(self._redis, (user_key, link_key), queue)

    def _keeping_an_admin(self, name: str, change: Callable[[User], User] | None) -> User | None:
        """Change a user, or remove one without a `change`; raises LastAdmin.

        Nothing is done if any user changes meanwhile: two admins cannot disable each other.
        """
        names = names_of(self._redis, "user")

        def queue(pipe: redis.client.Pipeline) -> User | None:
            if change is None and pipe.get(key_of("user", name)) is None:
                raise Missing(_NO_USER)
            new = None if change is None else change(self._existing(pipe, name))
            others = [self._intact(pipe, each) for each in names if each != name]
            if _ends_the_last_admin(self._intact(pipe, name), new, others):
                raise LastAdmin(name)
            pipe.multi()
            if new is None:
                pipe.delete(key_of("user", name))
            else:
                self._write(pipe, new)
            return new

        return transact(self._redis, tuple(key_of("user", each) for each in {*names, name}), queue)

    def _read(self, client: Any, name: str) -> User | None:
        key = key_of("user", name)
        stored = opened(self._seal, key, client.get(key))
        if stored is None:
            return None
        return User(**{**stored, "totp": Totp(**stored["totp"]) if stored["totp"] else None})

    def _existing(self, client: Any, name: str) -> User:
        user = self._read(client, name)
        if user is None:
            raise Missing(_NO_USER)
        return user

    def _intact(self, client: Any, name: str) -> User | None:
        try:
            return self._read(client, name)
        except Damaged:
            return None

    def _write(self, pipe: redis.client.Pipeline, user: User) -> None:
        key = key_of("user", user.name)
        pipe.set(key, closed(self._seal, key, asdict(user)))

    def _write_link(self, pipe: redis.client.Pipeline, token: str, name: str) -> None:
        key = key_of("link", digest(token))
        pipe.set(key, closed(self._seal, key, {"name": name, "expires": self._now() + LINK_S}), ex=LINK_S)

    def _link(self, token: str) -> Link:
        return Link(token, moment(self._now() + LINK_S))


def _ends_the_last_admin(user: User | None, new: User | None, others: Sequence[User | None]) -> bool:
    """Whether a change of `user` to `new` leaves no admin: none who can log in, or who could by the link."""
    if _is_active_admin(user):
        return not any(map(_is_active_admin, (new, *others)))
    return _is_admin(user) and not any(map(_is_admin, (new, *others)))


def _is_admin(user: User | None) -> bool:
    return user is not None and user.role == "admin" and not user.disabled


def _is_active_admin(user: User | None) -> bool:
    return user is not None and user.role == "admin" and user.state == "active"


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
