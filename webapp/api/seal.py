"""Seal bytes with a MAC, so that a flipped byte in the store is noticed before anything is read from it."""

import hashlib
import hmac
import json
from collections.abc import Sequence

_DIGITS = 64  # hexadecimal digits of HMAC-SHA256


class SealBroken(Exception):
    """The bytes are not what was sealed."""


def packed(document: object) -> bytes:
    """A document as JSON without spaces, in ASCII; a number that is none is a ValueError.

    The MAC is over these very bytes, kept as they are, so it does not matter that JSON has other spellings.
    """
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


class Seal:
    """HMAC-SHA256 (RFC 2104) under a key; what was sealed under one of the keys before it opens, too.

    `place` (the kind of thing and the id it is kept under) goes into the MAC: a sealed value that is moved to
    another key does not open there.
    """

    def __init__(self, key: bytes, previous: Sequence[bytes] = ()) -> None:
        self._keys = (key, *previous)

    def close(self, place: str, content: bytes) -> bytes:
        """MAC in hexadecimal, then the content."""
        return _mac(self._keys[0], place, content) + content

    def open(self, place: str, sealed: bytes) -> bytes:
        """The content; raises SealBroken before anything of it is parsed."""
        mac, content = sealed[:_DIGITS], sealed[_DIGITS:]
        if not any(hmac.compare_digest(mac, _mac(key, place, content)) for key in self._keys):
            raise SealBroken(place)
        return content


def _mac(key: bytes, place: str, content: bytes) -> bytes:
    message = place.encode("ascii") + b"\0" + content
    return hmac.new(key, message, hashlib.sha256).hexdigest().encode("ascii")
