"""Read typed settings from environment variables, and report all missing and invalid ones together, by name."""

import os
from collections.abc import Mapping
from typing import Literal, TypeVar

Number = TypeVar("Number", int, float)
Choice = TypeVar("Choice", bound=str)
Auth = Literal["none", "users"]


class EnvironmentInvalid(Exception):
    """Settings are missing or invalid; the message says for each name what is wrong, and contains no value."""


class Environment:
    """Values by name: from `config` if it has the name, otherwise from the process environment.

    Each method returns a usable value even if the setting is invalid, and records the fault; `check` raises
    EnvironmentInvalid with all faults. Messages never contain a value: it may be a secret.
    """

    def __init__(self, config: Mapping[str, object] | None = None) -> None:
        self._values = dict(os.environ) | {name: str(value) for name, value in (config or {}).items()}
        self._faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The value of `name`. Without a default, it is required."""
        value = self._values.get(name, "").strip()
        if value:
            return value
        if default is None:
            self._faults.append(f"{name} is not set")
        return default or ""

    def secret(self, name: str, min_length: int = 16, default: str | None = None) -> str:
        """The value of `name`: at least `min_length` characters, or the default."""
        value = self.text(name, default)
        if value and len(value) < min_length:
            self._faults.append(f"{name} is shorter than {min_length} characters")
        return value

    def key(self, name: str, min_bytes: int = 32) -> bytes:
        """The key in `name`, decoded from hexadecimal: at least `min_bytes` bytes."""
        return self._key(name, self.text(name), min_bytes)

    def keys(self, name: str, min_bytes: int = 32) -> tuple[bytes, ...]:
        """The comma-separated keys in `name`, decoded from hexadecimal; none if it is not set."""
        return tuple(self._key(name, value, min_bytes) for value in self.list_of(name, ""))

    def _key(self, name: str, value: str, min_bytes: int) -> bytes:
        try:
            key = bytes.fromhex(value)
        except ValueError:
            self._faults.append(f"{name} is not hexadecimal")
            return b""
        if value and len(key) < min_bytes:
            self._faults.append(f"{name} has fewer than {2 * min_bytes} hexadecimal digits")
        return key

    def number(self, name: str, default: Number, low: Number, high: Number) -> Number:
        """The value of `name`, a number of the type of `default` from `low` to `high`."""
        value = self.text(name, str(default))
        try:
            number = type(default)(value)
        except ValueError:
            self._faults.append(f"{name} is not a number")
            return default
        if not low <= number <= high:
            self._faults.append(f"{name} is not between {low} and {high}")
        return number

    def choice(self, name: str, choices: tuple[Choice, ...]) -> Choice:
        """The value of `name`, one of `choices`; the first one is the default."""
        value = self.text(name, choices[0])
        for choice in choices:
            if value == choice:
                return choice
        self._faults.append(f"{name} is not one of: {', '.join(choices)}")
        return choices[0]

    def auth(self) -> Auth:
        """AUTH, which API and page must have alike: "users" log in, or "none": who reaches the page may do all."""
        choices: tuple[Auth, ...] = ("none", "users")
        return self.choice("AUTH", choices)

    def addresses(self, name: str) -> tuple[str, ...]:
        """The comma-separated http and https addresses in `name`, at least one, without trailing slashes."""
        values = tuple(value.rstrip("/") for value in self.list_of(name))
        if not all(value.startswith(("http://", "https://")) for value in values):
            self._faults.append(f"{name} does not start with http:// or https://")
        return values

    def list_of(self, name: str, default: str | None = None) -> list[str]:
        """The comma-separated values of `name`. Without a default, at least one value is required."""
        text = self.text(name, default)
        values = [value.strip() for value in text.split(",") if value.strip()]
        if text and not values:
            self._faults.append(f"{name} is an empty list")
        return values

    def fault(self, message: str) -> None:
        """Record what is wrong with settings together."""
        self._faults.append(message)

    def check(self) -> None:
        """Raise EnvironmentInvalid if any setting read so far is missing or invalid."""
        if self._faults:
            raise EnvironmentInvalid("; ".join(self._faults))
