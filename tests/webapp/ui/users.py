"""The page of a stack with users: a browser without scripts, and people who are logged in."""

import html
import re

from tests.webapp.api.accounts_api import PASSWORD, AccountsApi
from tests.webapp.servers import ui_environment
from webapp import ui

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}


class UsersPage:
    """The page for the API at `url`, of which `api_app` is the app."""

    def __init__(self, url: str, api_app) -> None:
        self.url = url
        self.api = AccountsApi(api_app.test_client())

    def browser(self):
        """A browser that nobody has logged in with."""
        client = ui.create_app(
            {**ui_environment(self.url), "AUTH": "users", "PROXY_ADDRESS": "127.0.0.1"}
        ).test_client()
        client.environ_base.update(
            {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in NAVIGATION.items()}
        )
        return client

    def user(self, name: str, role: str):
        """The browser of a new user of that role, who is logged in."""
        browser, link = self.browser(), self.api.invite(name, role)
        sent = {"link": link, "password": PASSWORD, "repeated": PASSWORD}
        answer = browser.post("/set-password", data=sent)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/"), answer.get_data(as_text=True)
        return browser


def log_in(browser, name: str, password: str = PASSWORD, **fields: str):
    """The answer to the form to log in."""
    return browser.post("/login", data={"name": name, "password": password, **fields})


def hidden(answer) -> dict[str, str]:
    """The hidden fields of a page."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', answer.get_data(as_text=True))
    return {name: html.unescape(value) for name, value in found}
