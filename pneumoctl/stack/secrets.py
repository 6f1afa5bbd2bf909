"""The secrets of a stack: generated once, rotated, and derived if an older pneumoctl did not save them."""

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Secrets:
    """The secrets of one stack; saved with mode 0600, never in argv or logs.

    A stack saved by an older pneumoctl has only the first three. The others are then derived from those three, so that
    every read gives the same values; the next save stores them.
    """

    redis_password: str
    mac_key: str
    api_token: str
    redis_train_password: str = ""
    redis_exporter_password: str = ""
    web_password: str = ""  # typed by the user `clinician`
    # The values before a rotation, which hosts may still use; empty outside a rotation.
    api_token_previous: str = ""
    redis_password_previous: str = ""
    redis_train_password_previous: str = ""
    redis_exporter_password_previous: str = ""
    # Every host accepts the next MAC key before any host seals with it, so that each can open what another sealed. The
    # previous keys are never removed: older stored results were sealed with them.
    mac_key_next: str = ""
    mac_keys_previous: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        keys = self.mac_keys_previous
        if isinstance(keys, str) or not all(isinstance(value, str) for value in (*self._texts(), *keys)):
            raise TypeError("a secret is not a text")
        if not (self.redis_password and self.mac_key and self.api_token):
            raise ValueError("a secret is empty")
        object.__setattr__(self, "mac_keys_previous", tuple(keys))
        for name in ("redis_train_password", "redis_exporter_password", "web_password"):
            if not getattr(self, name):
                object.__setattr__(self, name, _encode(name, self._derived(name)))

    @classmethod
    def generate(cls) -> "Secrets":
        """Fresh random secrets."""
        return cls(**_fresh())

    def values(self) -> tuple[str, ...]:
        """Every secret, including those replaced by a rotation, for masking logs."""
        return tuple(value for value in (*self._texts(), *self.mac_keys_previous) if value)

    @property
    def mac_keys_accepted(self) -> tuple[str, ...]:
        """The other keys, besides `mac_key`, with which a stored result may have been sealed."""
        return tuple(key for key in (self.mac_key_next, *self.mac_keys_previous) if key)

    @property
    def rotating(self) -> bool:
        """Whether a rotation is in progress: hosts may still use the replaced values."""
        return any(getattr(self, f"{name}_previous") for name in _REPLACED)

    def start_rotation(self) -> "Secrets":
        """New secrets, with the replaced ones beside them; the new MAC key is accepted, but does not seal yet.

        During a rotation this returns the same secrets: replacing them again would lose those that hosts still use.
        """
        if self.rotating:
            return self
        before = {f"{name}_previous": getattr(self, name) for name in _REPLACED}
        fresh = _fresh()
        return replace(self, **{**fresh, "mac_key": self.mac_key}, **before, mac_key_next=fresh["mac_key"])

    def finish_rotation(self) -> "Secrets":
        """The secrets after a rotation that has reached every host; the replaced values are removed.

        The MAC keys are all kept: the new one seals from now on, and the others still open what they sealed.
        """
        changes: dict[str, Any] = {f"{name}_previous": "" for name in _REPLACED}
        if self.mac_key_next:
            changes |= {"mac_key": self.mac_key_next, "mac_key_next": ""}
            changes |= {"mac_keys_previous": (self.mac_key, *self.mac_keys_previous)}
        return replace(self, **changes)

    def _texts(self) -> tuple[str, ...]:
        return tuple(getattr(self, field.name) for field in fields(self) if field.name != "mac_keys_previous")

    def _derived(self, name: str) -> bytes:
        saved = json.dumps([self.redis_password, self.mac_key, self.api_token])
        return hmac.digest(saved.encode(), f"pneumoctl {name}".encode(), "sha256")


_REPLACED = ("api_token", "redis_password", "redis_train_password", "redis_exporter_password")


def _fresh() -> dict[str, Any]:
    names = ("mac_key", "web_password", *_REPLACED)
    return {name: _encode(name, secrets.token_bytes(32)) for name in names}


def _encode(name: str, random: bytes) -> str:
    """256 bits as hexadecimal digits; for the password that a person types, 144 bits as 24 characters."""
    return base64.urlsafe_b64encode(random[:18]).decode() if name == "web_password" else random.hex()
