"""A session for the proof of `up`: of a user that exists only as long as the proof takes."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pneumoctl.accounts.client import PROOF, Accounts
from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import Refused


@contextmanager
def opened(accounts: Accounts) -> Iterator[str]:
    """The token of a session that may have pictures scored; its user is removed at the end, and the session with it.

    An interrupted proof leaves the user, whose password nobody knows and whose session ends when it is idle; the next
    proof removes both. Raises PneumoError.
    """
    with suppress(Refused):
        accounts.remove(PROOF)  # of an interrupted proof; the invitation fails if that was not possible
    token = accounts.invite(PROOF, "reviewer")["link"]["token"]
    try:
        yield accounts.begin_session(token, secrets.token_urlsafe(32))
    finally:
        with suppress(PneumoError):  # a failure here must not hide the outcome of the proof
            accounts.remove(PROOF)
