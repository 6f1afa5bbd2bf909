"""Seal bytes with a MAC, so that damage in the store is detected before the content is parsed."""

import hashlib
import hmac
import json
from collections.abc import Sequence

DIGITS = 64  # hexadecimal digits of HMAC-SHA256


class SealBroken(Exception):
    """The bytes are not the ones that were sealed."""


def serialize(document: object) -> bytes:
    """A document as compact ASCII JSON; NaN and infinity are a ValueError.

    The MAC covers exactly these bytes, which are stored unchanged, so other spellings of the same JSON do not matter.
    """
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


class Seal:
    """HMAC-SHA256 (RFC 2104) with the first key; content sealed with one of the previous keys can be opened, too.

    `key_name`, the store's key, is part of the MAC: a sealed value that is copied to another key cannot be opened
    there.
    """

    def __init__(self, key: bytes, previous: Sequence[bytes] = ()) -> None:
        self._keys = (key, *previous)

    def close(self, key_name: str, content: bytes) -> bytes:
        """The MAC in hexadecimal, followed by the content."""
        return _mac(self._keys[0], key_name, content) + content

    def open(self, key_name: str, sealed: bytes) -> bytes:
        """The content; raises SealBroken before any of it is parsed."""
        self.sealed_with(key_name, sealed)
        return sealed[DIGITS:]

    @property
    def oldest(self) -> str:
        """The id of the key that was in use first, as far as it is known."""
        return key_id(self._keys[-1])

    def sealed_with(self, key_name: str, sealed: bytes) -> str:
        """The id of the key that sealed it; raises SealBroken."""
        mac, content = sealed[:DIGITS], sealed[DIGITS:]
        for key in self._keys:
            if hmac.compare_digest(mac, _mac(key, key_name, content)):
                return key_id(key)
        raise SealBroken(key_name)

    def derived(self, label: str, key: str | None = None) -> tuple[str, bytes]:
        """A secret of 20 bytes for a label, and the id of the key that it is derived from: by default the first one.

        Raises SealBroken if there is no key of that id.
        """
        for each in self._keys:
            if key is None or key_id(each) == key:
                message = b"pneumoctl derived secret\0" + label.encode("ascii")
                return key_id(each), hmac.new(each, message, hashlib.sha256).digest()[:20]
        raise SealBroken(label)


def key_id(key: bytes) -> str:
    """A name for a key that does not disclose it; pneumoctl/results/mac_keys.py gives the same."""
    return hmac.new(key, b"pneumoctl key id", hashlib.sha256).hexdigest()[:16]


def _mac_bytes(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _mac(key: bytes, key_name: str, content: bytes) -> bytes:
    message = key_name.encode("ascii") + b"\0" + content
    return hmac.new(key, message, hashlib.sha256).hexdigest().encode("ascii")
