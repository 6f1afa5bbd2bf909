"""The secrets of a stack: generated once, rotated, read back from its services, derived if an older one saved none."""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from pneumoctl.errors import PneumoError
from pneumoctl.stack import documents


class NoSecrets(PneumoError):
    """The secrets of a stack are not on this machine."""


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
    redis_rewriter_password: str = ""  # of the user of Redis that may have it write its file anew
    page_token: str = ""  # of the web page, which alone lets it do nothing for which a user must log in
    receiver_token: str = ""  # of the DICOM receiver of a stack on this machine, for sending films alone
    # The values before a rotation, which hosts may still use; empty outside a rotation.
    api_token_previous: str = ""
    page_token_previous: str = ""
    receiver_token_previous: str = ""
    redis_password_previous: str = ""
    redis_train_password_previous: str = ""
    redis_exporter_password_previous: str = ""
    redis_rewriter_password_previous: str = ""
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
        for name in _REPLACED:
            if not getattr(self, name):
                object.__setattr__(self, name, self._derived(name).hex())

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


def from_json(document: Any) -> Secrets:
    """The secrets of a file. Raises TypeError or ValueError if they are not valid, Newer if there are further ones."""
    if added := [name for name in documents.unknown(Secrets, document) if name != _OF_SHARED_LOGIN]:
        raise documents.Newer("secrets", added)
    return documents.parse(Secrets, document)


def from_environments(environments: Iterable[str]) -> Secrets:
    """The secrets with which the API of each host runs, from its environment file. Raises KeyError without all of them.

    Every MAC key of every host is kept, so that no stored result becomes unreadable. If a rotation was interrupted, the
    hosts differ: the newest secrets lead, and those of the other hosts stay valid beside them. The passwords that no
    API has (of the exporter and of training) are derived anew.
    """
    hosts = sorted((_variables(text) for text in environments), key=_age, reverse=True)
    leading = hosts[0]
    keys = [key for host in hosts for key in _mac_keys(host)]
    tokens = [host[name] for name in ("API_TOKEN", "API_TOKEN_PREVIOUS") for host in hosts if host.get(name)]
    pages = [host[name] for name in ("PAGE_TOKEN", "PAGE_TOKEN_PREVIOUS") for host in hosts if host.get(name)]
    passwords = [host["REDIS_PASSWORD"] for host in hosts]
    return Secrets(
        redis_password=leading["REDIS_PASSWORD"],
        mac_key=leading["MAC_KEY"],
        api_token=leading["API_TOKEN"],
        api_token_previous=next((token for token in tokens if token != leading["API_TOKEN"]), ""),
        page_token=next(iter(pages), ""),
        page_token_previous=next((token for token in pages if token != pages[0]), ""),
        redis_password_previous=next((word for word in passwords if word != leading["REDIS_PASSWORD"]), ""),
        mac_keys_previous=tuple(dict.fromkeys(key for key in keys if key != leading["MAC_KEY"])),
    )


def _variables(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in lines if name}


def mac_keys(environment: str) -> list[str]:
    """The MAC keys in the environment file of an API: the one that it seals with, then the others that it accepts."""
    return _mac_keys(_variables(environment))


def _mac_keys(host: dict[str, str]) -> list[str]:
    return [key for key in (host.get("MAC_KEY", ""), *host.get("MAC_KEYS_PREVIOUS", "").split(",")) if key]


def _age(host: dict[str, str]) -> tuple[int, bool]:
    """How far a rotation has come on a host: it adds a MAC key first, and removes the previous token at the end."""
    return len(_mac_keys(host)), not host.get("API_TOKEN_PREVIOUS")


_OF_SHARED_LOGIN = "web_password"  # in files of an older pneumoctl, whose users shared one login
_REPLACED = (
    "api_token",
    "page_token",
    "receiver_token",
    "redis_password",
    "redis_train_password",
    "redis_exporter_password",
    "redis_rewriter_password",
)


def _fresh() -> dict[str, Any]:
    import secrets  # which loads random: for a new stack alone

    return {name: secrets.token_hex(32) for name in ("mac_key", *_REPLACED)}
