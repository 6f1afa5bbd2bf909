"""Checks of the values of settings: each says what is allowed, for the declaration of a setting and its error."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoctl.errors import Exit, PneumoError

_TYPE, _ARM = r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "[a-z]+[0-9]+g"  # of EC2's instance types, and of those that are Arm


@dataclass(frozen=True)
class Check:
    """What a value must be: `allowed` in words, and as a function of the value."""

    allowed: str
    accepts: Callable[[Any], bool]


def between(low: int, high: int) -> Check:
    """A number from `low` to `high`."""
    return Check(f"{low} to {high}", lambda number: low <= number <= high)


def matches(pattern: str, allowed: str) -> Check:
    """A text that the regular expression `pattern` matches as a whole."""
    return Check(allowed, lambda text: re.fullmatch(pattern, text) is not None)


def one_of(names: Sequence[str], or_empty: bool = False) -> Check:
    """One of `names`, or also no text."""
    return Check(" or ".join(names), lambda text: text in names or (or_empty and not text))


def listed_types(text: str) -> tuple[str, ...]:
    """The instance types in a list that is separated by spaces or commas."""
    return tuple(text.replace(",", " ").split())


def _every_type(accepts: Callable[[str], object]) -> Callable[[str], bool]:
    return lambda text: all(accepts(kind) for kind in listed_types(text))


def _is_type(text: str) -> bool:
    return re.fullmatch(_TYPE, text) is not None


def _is_not_arm(text: str) -> bool:
    return not re.match(_ARM, text)


def _is_host_cidr(text: str) -> bool:
    try:
        return not text or (text.endswith("/32") and int(ipaddress.IPv4Network(text).network_address) != 0)
    except ValueError:
        return False


def together(settings: Any) -> tuple[tuple[bool, str, str], ...]:
    """What settings require of each other: whether it is met, the setting to correct, and what is allowed."""
    domain, own, key = bool(settings.domain), bool(settings.certificate), bool(settings.certificate_key)
    acme = bool(settings.acme_email)
    return (
        (domain or not acme, "domain", "given with acme_email, as the name in the certificate"),
        (domain or not own, "domain", "given with certificate, as the name in it"),
        (own == key, "certificate_key", "given together with certificate"),
        (not (own and acme), "acme_email", "empty, because certificate is given"),
    )


_KINDS = {int: "a whole number", str: "text", bool: "true or false"}


def typed(kind: Any, name: str, value: Any) -> Any:
    """The value of a setting by its type, also if a variable says it. Raises PneumoError (usage) for another type."""
    if kind is int and isinstance(value, str) and re.fullmatch(r"\d+", value):
        return int(value)
    if kind is bool and value in ("true", "false"):
        return value == "true"
    if type(value) is not kind:
        raise PneumoError(f"{name} must be {_KINDS[kind]}, not {value!r}", f"correct {name}", Exit.USAGE)
    return value


PORT = Check("a port from 1 to 65535", lambda number: 0 < number < 65536)
HOST_CIDR = Check("one public IPv4 address, as 203.0.113.7/32", _is_host_cidr)
BUCKET = matches(r"|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name")
DOMAIN = matches(r"|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", "a DNS name")
MAIL_ADDRESS = matches(r"|[^\s@]+@[^\s@]+", "a mail address")
BATCH = matches(r"(100|[1-9][0-9]?)%|50|[1-4]?[1-9]|[1-4]0", "1 to 50, or 1% to 100%")
INSTANCE_TYPE = (Check("an EC2 type, as t3.small", _is_type), Check("an x86-64 type, not an Arm type", _is_not_arm))
INSTANCE_TYPES = (
    Check("EC2 types, as g4dn.xlarge g6.xlarge", _every_type(_is_type)),
    Check("x86-64 types, no Arm types", _every_type(_is_not_arm)),
)
