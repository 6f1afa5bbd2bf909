"""The address of the API on this machine, and its token."""

from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.stack import find


def remote_api(name: str) -> Endpoint:
    """The address of a stack's API and its bearer token. Raises PneumoError if the stack was never brought up."""
    stack = find(name)
    saved, known = stack.secrets(), stack.inventory()
    if saved is None or known is None:
        raise PneumoError(f"there is no stack {name!r}", "pneumoctl up")
    return Endpoint(known.url("api"), saved.api_token, stack.layout.api_socket)
