"""What only a stack may know: generated once, kept through rotations, derived where an older pneumoctl had none."""

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Secrets:
    """What only this stack may know; 0600, never in argv or logs.

    A field that is not given (a stack saved by an older pneumoctl has only the first three) is derived from those
    three: each reading gives the same, and the next saving writes it down.
    """

    redis_password: str
    mac_key: str
    api_token: str
    redis_train_password: str = ""
    redis_exporter_password: str = ""
    web_password: str = ""  # of the user `clinician`, who types it
    # What a rotation replaced, and hosts may still hold; empty when none did.
    api_token_previous: str = ""
    redis_password_previous: str = ""
    redis_train_password_previous: str = ""
    redis_exporter_password_previous: str = ""
    # A MAC key is learnt by every host before any seals with it, so that each opens what another sealed. Those before
    # it stay for ever: what was stored then was sealed with them.
    mac_key_next: str = ""
    mac_keys_previous: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        keys = self.mac_keys_previous
        if isinstance(keys, str) or not all(isinstance(one, str) for one in (*self._texts(), *keys)):
            raise TypeError("a secret is no text")
        if not (self.redis_password and self.mac_key and self.api_token):
            raise ValueError("a secret is empty")
        object.__setattr__(self, "mac_keys_previous", tuple(keys))
        for name in ("redis_train_password", "redis_exporter_password", "web_password"):
            if not getattr(self, name):
                object.__setattr__(self, name, _shaped(name, self._derived(name)))

    @classmethod
    def generate(cls) -> "Secrets":
        """Fresh random secrets."""
        return cls(**_fresh())

    def values(self) -> tuple[str, ...]:
        """Every secret, those replaced by a rotation too, to be masked in what is logged."""
        return tuple(one for one in (*self._texts(), *self.mac_keys_previous) if one)

    @property
    def mac_keys_accepted(self) -> tuple[str, ...]:
        """What others than `mac_key` may have sealed with."""
        return tuple(one for one in (self.mac_key_next, *self.mac_keys_previous) if one)

    @property
    def rotating(self) -> bool:
        """Whether a rotation is not finished: hosts may still hold what it replaced."""
        return any(getattr(self, f"{name}_previous") for name in _REPLACED)

    def start_rotation(self) -> "Secrets":
        """New secrets that keep those they replace; the new MAC key is learnt, and seals nothing yet.

        In the middle of a rotation the same once more: a second replacement would forget what the hosts still hold.
        """
        if self.rotating:
            return self
        before = {f"{name}_previous": getattr(self, name) for name in _REPLACED}
        fresh = _fresh()
        return replace(self, **{**fresh, "mac_key": self.mac_key}, **before, mac_key_next=fresh["mac_key"])

    def finish_rotation(self) -> "Secrets":
        """The end of a rotation, when every host has had the first half: what it replaced is forgotten.

        Not so the MAC keys: the new one seals from now on, and the others open.
        """
        changes: dict[str, Any] = {f"{name}_previous": "" for name in _REPLACED}
        if self.mac_key_next:
            changes |= {"mac_key": self.mac_key_next, "mac_key_next": ""}
            changes |= {"mac_keys_previous": (self.mac_key, *self.mac_keys_previous)}
        return replace(self, **changes)

    def _texts(self) -> tuple[str, ...]:
        return tuple(getattr(self, one.name) for one in fields(self) if one.name != "mac_keys_previous")

    def _derived(self, name: str) -> bytes:
        known = json.dumps([self.redis_password, self.mac_key, self.api_token])
        return hmac.digest(known.encode(), f"pneumoctl {name}".encode(), "sha256")


_REPLACED = ("api_token", "redis_password", "redis_train_password", "redis_exporter_password")


def _fresh() -> dict[str, Any]:
    names = ("mac_key", "web_password", *_REPLACED)
    return {name: _shaped(name, secrets.token_bytes(32)) for name in names}


def _shaped(name: str, random: bytes) -> str:
    """256 bits as hexadecimal digits; of those that a person types, 144 in 24 characters."""
    return base64.urlsafe_b64encode(random[:18]).decode() if name == "web_password" else random.hex()
