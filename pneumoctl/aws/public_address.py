"""The operator's public IPv4 address, asked from two public services."""

import ipaddress
from collections.abc import Sequence

from pneumoctl.errors import PneumoError, in_words

SERVICES = ("https://checkip.amazonaws.com", "https://api.ipify.org")
TIMEOUT_S = 2.4  # each; both together stay below 5 seconds


def public_address(services: Sequence[str] = SERVICES) -> str:
    """The first global IPv4 address that a service returns. Raises PneumoError if none does."""
    failures = []
    for url in services:
        try:
            return _ask(url)
        except (OSError, ValueError) as error:
            failures.append(f"{url.split('/')[2]}: {error}")
    hint = 'set operator_cidr = "a.b.c.d/32" in pneumo.toml to the address from which you reach the internet'
    raise PneumoError("your own public IPv4 address was not found (" + "; ".join(failures) + ")", hint)


def _ask(url: str) -> str:
    import urllib3

    timeout = urllib3.Timeout(total=TIMEOUT_S)
    try:
        answer = urllib3.PoolManager().request("GET", url, timeout=timeout, retries=False, preload_content=False)
        try:
            text = answer.read(64).decode("ascii", "replace").strip()
        finally:
            answer.release_conn()
            answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise OSError(in_words(error)) from error
    if answer.status != 200:
        raise OSError(f"answered {answer.status}")
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError as error:
        raise ValueError("answered no IPv4 address") from error
    if not address.is_global:
        raise ValueError(f"answered {address}, which is no public address")
    return str(address)
