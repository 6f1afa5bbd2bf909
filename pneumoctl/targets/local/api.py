"""The address of the API on this machine, and its token."""

from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.stack.stack import Stack, find


def remote_api(name: str) -> Endpoint:
    """The address of a stack's API and its bearer token. Raises PneumoError if the stack was never brought up."""
    return endpoint(find(name))


def endpoint(stack: Stack) -> Endpoint:
    """See `remote_api`."""
    secrets, inventory = stack.secrets(), stack.inventory()
    if secrets is None or inventory is None:
        raise stack.missing()
    return Endpoint(inventory.url("api"), secrets.api_token, stack.layout.api_socket)
