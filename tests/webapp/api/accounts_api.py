"""Call the API with AUTH=users as pneumoctl, as the page, as users of each role, and as client programs."""

from tests.webapp.conftest import Caller
from webapp.requests import NO_SESSION, SESSION_HEADER

PASSWORD = "correct horse battery"


class AccountsApi:
    """The API with AUTH=users. `operator`: pneumoctl; `page`: the page for nobody."""

    def __init__(self, client) -> None:
        self.client = client
        self.operator = Caller(client)
        self.page = self.with_session(NO_SESSION)

    def with_session(self, session: str) -> Caller:
        """The page for the user of that session."""
        caller = Caller(self.client)
        caller.headers = {**caller.headers, SESSION_HEADER: session}
        return caller

    def with_token(self, *scopes: str) -> Caller:
        """A client program with a token of these scopes."""
        sent = {"name": "client", "scopes": list(scopes)}
        return Caller(self.client, post(self.operator, "/v1/tokens", sent, 201)["token"])

    def invite(self, name: str, role: str) -> str:
        """Invite a user; returns the token of the link."""
        return post(self.operator, "/v1/users", {"name": name, "role": role}, 201)["link"]["token"]

    def user(self, name: str, role: str) -> Caller:
        """The page for a new user of that role, who is logged in."""
        link = {"link": self.invite(name, role), "password": PASSWORD}
        return self.with_session(post(self.page, "/v1/sessions", link, 201)["session"])

    def log_in(self, name: str, password: str = PASSWORD, code: str = "", address: str = "192.0.2.1"):
        """The answer to a login."""
        headers = {**self.page.headers, "X-Client-Address": address}
        sent = {"name": name, "password": password, **({"code": code} if code else {})}
        return self.client.post("/v1/sessions", json=sent, headers=headers)


def post(caller: Caller, path: str, document: object, status: int) -> dict:
    """POST a document, which must be answered with that status; returns the answer's document."""
    answer = caller.client.post(path, json=document, headers=caller.headers)
    assert answer.status_code == status, answer.data
    return answer.get_json()
