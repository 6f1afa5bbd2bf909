"""One-time links, with which a user sets a password."""

from collections.abc import Mapping
from typing import Any

from pneumoctl.terminal.report import to_second

# In the query, which works without a script. nginx, the page and the API log no query, and the page sends no Referer to
# other sites. Opening the address redeems nothing, so that a program that previews links in mails and chats may do so.
_PAGE = "/set-password?link="


def address(page: str, link: Mapping[str, Any]) -> str:
    """The address that a person opens. `page`: of the web page; `link`: token and expiry, from the API."""
    return f"{page}{_PAGE}{link['token']}"


def lines(page: str, name: str, link: Mapping[str, Any]) -> list[str]:
    """What to tell the person who hands the link on."""
    return [
        f"link for {name} to set a password, for one use until {to_second(link['expires'])}, not shown again:",
        f"  {address(page, link)}",
    ]


def document(page: str, link: Mapping[str, Any]) -> dict[str, Any]:
    """The link in a document of the command line."""
    return {"url": address(page, link), "token": link["token"], "expires": link["expires"]}
