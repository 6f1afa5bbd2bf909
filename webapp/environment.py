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

    def secret(self, name: str, shortest: int = 16) -> str:
        """A text of at least `shortest` characters."""
        value = self.text(name)
        if value and len(value) < shortest:
            self._complaints.append(f"{name} is shorter than {shortest} characters")
        return value

    def key(self, name: str, shortest: int = 32) -> bytes:
        """Bytes given as hexadecimal digits, at least `shortest` of them."""
        value = self.text(name)
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

    def address(self, name: str) -> str:
        """An http or https address without a trailing slash."""
        value = self.text(name).rstrip("/")
        if value and not value.startswith(("http://", "https://")):
            self._complaints.append(f"{name} does not start with http:// or https://")
        return value

    def words(self, name: str, default: str) -> list[str]:
        """The parts of a comma list."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def check(self) -> None:
        """Raise EnvironmentInvalid if anything read so far was missing or bad."""
        if self._complaints:
            raise EnvironmentInvalid("; ".join(self._complaints))
