"""Where the API on this machine is, and its token."""

from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.stack import find


def remote_api(name: str) -> Endpoint:
    """Where a stack's API is, and its bearer token. PneumoError if the stack was never brought up."""
    stack = find(name)
    saved, known = stack.secrets(), stack.inventory()
    if saved is None or known is None:
        raise PneumoError(f"there is no stack {name!r}", "pneumoctl up")
    return Endpoint(known.url("api"), saved.api_token, stack.layout.api_socket)
