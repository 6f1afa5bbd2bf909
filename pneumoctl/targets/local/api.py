"""The address and the token of the API on this machine."""

from pneumoctl.errors import PneumoError
from pneumoctl.stack.stack import find


def remote_api(name: str) -> tuple[str, str]:
    """Address and bearer token of a stack's API. PneumoError if the stack was never brought up."""
    stack = find(name)
    saved, known = stack.secrets(), stack.inventory()
    if saved is None or known is None:
        raise PneumoError(f"there is no stack {name!r}", "pneumoctl up")
    return known.url("api"), saved.api_token
