"""Prove that somebody is a user: by password and one-time code, within the limits on attempts."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import redis

from webapp.api.accounts import codes, passwords
from webapp.api.accounts.attempts import Attempts
from webapp.api.accounts.errors import LoginRefused
from webapp.api.accounts.sealed import digest
from webapp.api.accounts.sessions import Sessions
from webapp.api.accounts.tokens import Tokens
from webapp.api.accounts.users import Totp, User, Users, moment
from webapp.api.storage.errors import Damaged
from webapp.api.storage.keys import key_of
from webapp.api.storage.seal import Seal, SealBroken


@dataclass(frozen=True)
class Accounts:
    """Users, sessions, tokens and attempts. Every method may raise StoreUnavailable. Safe to share between threads."""

    users: Users
    sessions: Sessions
    tokens: Tokens
    attempts: Attempts
    seal: Seal
    now: Callable[[], float] = time.time

    @classmethod
    def of(
        cls, client: redis.Redis, seal: Seal, idle: float, absolute: float, now: Callable[[], float] = time.time
    ) -> "Accounts":
        """All in one Redis; the limits of sessions in seconds."""
        users = Users(client, seal, now)
        sessions = Sessions(client, seal, users, (idle, absolute), now)
        return cls(users, sessions, Tokens(client, seal, now), Attempts(client, now), seal, now)

    def log_in(self, name: str, password: str, code: str, address: str) -> User:
        """The user, whose login is recorded; raises LoginRefused, TooManyAttempts or Damaged.

        Whatever is wrong, the same time is spent: nobody learns which names there are.
        """
        user = self._proven(name, password, code, address)

        def recorded(stored: User) -> User:
            self._require_unchanged(user, stored)
            step = self._step(stored, code) if stored.needs_code else None
            totp = stored.totp if step is None or stored.totp is None else replace(stored.totp, last=step)
            return replace(stored, last_login=moment(self.now()), totp=totp)

        stored = self.users.update(name, recorded)
        self.attempts.succeeded(name, address)
        return stored

    def log_in_by_link(self, token: str, password: str, address: str) -> User:
        """Set the password of the user whose link it is.

        Raises LinkInvalid, TooManyAttempts, or passwords.Weak, after which the link is still good.
        """
        name = f"link {digest(token)}"  # no user's: links that are tried do not keep others from theirs
        self.attempts.count(name, address)
        passwords.require_strong(password, self.users.named_by(token).name)
        user = self.users.set_password_by_link(token, passwords.hash_password(password))
        self.attempts.succeeded(name, address)
        return user

    def change_password(self, user: User, password: str, new: str, address: str) -> User:
        """Change a password, which ends all sessions of the user. Raises as `prove`, or passwords.Weak."""
        self.prove(user, password, address)
        passwords.require_strong(new, user.name)
        hashed = passwords.hash_password(new)

        def changed(stored: User) -> User:
            self._require_unchanged(user, stored)
            return replace(stored, password=hashed, epoch=stored.epoch + 1)

        return self.users.update(user.name, changed)

    def prove(self, user: User, password: str, address: str) -> None:
        """Have a user who is logged in repeat the password; raises LoginRefused or TooManyAttempts."""
        self.attempts.count(user.name, address)
        if not passwords.verify(user.password, password):
            raise LoginRefused
        self.attempts.succeeded(user.name, address)

    def begin_totp(self, user: User) -> str:
        """A new secret (base32) for one-time codes, which are needed once `confirm_totp` had one of them."""
        nonce = secrets.token_hex(16)
        key, secret = self.seal.derived(_label(user.name, nonce))
        self.users.update(user.name, lambda stored: replace(stored, totp=Totp(key, nonce)))
        return codes.secret_text(secret)

    def confirm_totp(self, user: User, code: str, address: str) -> None:
        """Turn one-time codes on; raises LoginRefused if the code is wrong, or TooManyAttempts."""
        self.attempts.count(user.name, address)

        def confirmed(stored: User) -> User:
            step = self._step(stored, code)
            if stored.totp is None or step is None:
                raise LoginRefused
            return replace(stored, totp=replace(stored.totp, confirmed=True, last=step))

        self.users.update(user.name, confirmed)
        self.attempts.succeeded(user.name, address)

    def end_totp(self, user: User) -> None:
        """Turn one-time codes off."""
        self.users.update(user.name, lambda stored: replace(stored, totp=None))

    def end_sessions(self, user: User) -> User:
        """End all sessions of a user."""
        return self.users.update(user.name, lambda stored: replace(stored, epoch=stored.epoch + 1))

    def named(self, name: str) -> str | None:
        """The name, if it is that of a user."""
        user = self.users.find(name) if _may_be_a_name(name) else None
        return None if user is None else user.name

    def _proven(self, name: str, password: str, code: str, address: str) -> User:
        self.attempts.count(name, address)
        user = self.users.find(name) if _may_be_a_name(name) else None
        hashed = user.password if user is not None and user.state == "active" else None
        fits = passwords.verify(hashed, password)
        if user is None or not fits or (user.needs_code and self._step(user, code) is None):
            raise LoginRefused
        return user

    def _step(self, user: User, code: str) -> int | None:
        """The time step of a code that was not accepted before; None: the code is wrong."""
        if user.totp is None:
            return None
        try:
            _, secret = self.seal.derived(_label(user.name, user.totp.nonce), user.totp.key)
        except SealBroken as error:
            raise Damaged(key_of("user", user.name)) from error
        step = codes.step_of(codes.secret_text(secret), code, self.now())
        return step if step is not None and step > user.totp.last else None

    def _require_unchanged(self, proven: User, stored: User) -> None:
        """Raise LoginRefused if the user changed while the password was verified, or the code was used meanwhile."""
        same = (stored.password, stored.epoch, stored.state) == (proven.password, proven.epoch, proven.state)
        if not same or stored.totp != proven.totp:
            raise LoginRefused


def _label(name: str, nonce: str) -> str:
    return f"totp:{name}:{nonce}"


def _may_be_a_name(name: str) -> bool:
    return 0 < len(name) <= 64 and name.isascii() and name.replace(".", "").replace("-", "").replace("_", "").isalnum()
