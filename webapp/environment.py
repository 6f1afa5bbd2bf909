"""Read typed settings from environment values and report every missing or bad one by name, all at once."""

import os
from collections.abc import Mapping
from typing import TypeVar

Number = TypeVar("Number", int, float)


class EnvironmentInvalid(Exception):
    """Settings are missing or bad; the message lists each name with what is wrong, and no value."""


class Environment:
    """Values by name: `config` where given, the process environment otherwise.

    Each reading method returns a usable value even when the setting is bad and keeps the complaint;
    `check` raises EnvironmentInvalid with all complaints. Values are never repeated: they may be secrets.
    """

    def __init__(self, config: Mapping[str, object] | None = None) -> None:
        self._values = dict(os.environ) | {name: str(value) for name, value in (config or {}).items()}
        self._complaints: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The text called `name`; without a default it must be there."""
        value = self._values.get(name, "").strip()
        if value:
            return value
        if default is None:
            self._complaints.append(f"{name} is not set")
        return default or ""

    def secret(self, name: str, shortest: int = 16, default: str | None = None) -> str:
        """A text of at least `shortest` characters, or the default."""
        value = self.text(name, default)
        if value and len(value) < shortest:
            self._complaints.append(f"{name} is shorter than {shortest} characters")
        return value

    def key(self, name: str, shortest: int = 32) -> bytes:
        """At least `shortest` bytes, given as hexadecimal digits."""
        return self._key(name, self.text(name), shortest)

    def keys(self, name: str, shortest: int = 32) -> tuple[bytes, ...]:
        """The keys of a comma list, which may be empty."""
        return tuple(self._key(name, word, shortest) for word in self.words(name, ""))

    def _key(self, name: str, value: str, shortest: int) -> bytes:
        try:
            key = bytes.fromhex(value)
        except ValueError:
            self._complaints.append(f"{name} is not hexadecimal")
            return b""
        if value and len(key) < shortest:
            self._complaints.append(f"{name} has fewer than {2 * shortest} hexadecimal digits")
        return key

    def number(self, name: str, default: Number, low: Number, high: Number) -> Number:
        """A number of the kind of `default`, from `low` to `high`."""
        value = self.text(name, str(default))
        try:
            number = type(default)(value)
        except ValueError:
            self._complaints.append(f"{name} is not a number")
            return default
        if not low <= number <= high:
            self._complaints.append(f"{name} is not between {low} and {high}")
        return number

    def addresses(self, name: str) -> tuple[str, ...]:
        """One or more http or https addresses of a comma list, without trailing slashes."""
        values = tuple(word.rstrip("/") for word in self.words(name))
        if not all(value.startswith(("http://", "https://")) for value in values):
            self._complaints.append(f"{name} does not start with http:// or https://")
        return values

    def words(self, name: str, default: str | None = None) -> list[str]:
        """The parts of a comma list; without a default there must be one."""
        text = self.text(name, default)
        found = [word.strip() for word in text.split(",") if word.strip()]
        if text and not found:
            self._complaints.append(f"{name} is an empty list")
        return found

    def check(self) -> None:
        """Raise EnvironmentInvalid if anything read so far was missing or bad."""
        if self._complaints:
            raise EnvironmentInvalid("; ".join(self._complaints))
