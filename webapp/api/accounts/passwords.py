"""Hash passwords with argon2id, verify them, and refuse weak ones."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from webapp.api.accounts.errors import TooManyAttempts
from webapp.concurrency import Busy, ConcurrencyLimit

MIN_LENGTH, MAX_LENGTH = 12, 128  # characters
_MIN_DIFFERENT = 5
# OWASP's first choice of little memory: 19 MiB, two passes. The hosts are small, and a login must not starve scoring.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_AT_ONCE = ConcurrencyLimit(2, retry_after=2)  # bounds the memory of many logins
_WAIT_S = 5.0


class Weak(Exception):
    """The password is not accepted; the message says why."""


def require_strong(password: str, name: str) -> None:
    """Raise Weak for a password that is too short, too long, of few characters, or contains the user's name."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Weak(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    if len(set(password)) < _MIN_DIFFERENT:
        raise Weak(f"A password has at least {_MIN_DIFFERENT} different characters.")
    if len(name) >= 3 and name in password.lower():
        raise Weak("A password does not contain the user's name.")


def hash_password(password: str) -> str:
    """The hash to store; raises TooManyAttempts if many are hashed at once."""
    with _slot():
        return _HASHER.hash(_normalized(password))


def verify(stored: str | None, password: str) -> bool:
    """Whether the password has that hash. Without a hash, no, after the same time.

    Raises TooManyAttempts if many are hashed at once.
    """
    with _slot():
        try:
            fits = _HASHER.verify(stored or _no_password(), _normalized(password[: MAX_LENGTH + 1]))
        except (VerificationError, InvalidHashError):
            return False
    return fits and stored is not None


@contextmanager
def _slot() -> Iterator[None]:
    try:
        with _AT_ONCE.slot(_WAIT_S):
            yield
    except Busy as error:
        raise TooManyAttempts(error.retry_after) from error


@cache
def _no_password() -> str:
    """A hash that takes as long to verify as any other."""
    return _HASHER.hash("nobody has this password")


def _normalized(password: str) -> bytes:
    """The same bytes for the same characters, however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
