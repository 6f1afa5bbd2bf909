"""A local stack whose users log in: the first admin, what is closed without a login, and the way back."""

import urllib3

from model import phantom
from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.page_client import JSON

PASSWORD = "correct horse battery"


def ask(operator: Operator, method: str, path: str, cookie: str = "", **more: object) -> urllib3.BaseHTTPResponse:
    headers = JSON | ({"Cookie": cookie} if cookie else {})
    return urllib3.request(method, f"{operator.url}{path}", headers=headers, redirect=False, **more)  # type: ignore[arg-type]


def log_in(operator: Operator, link: str) -> str:
    """The cookie of a user who sets a password by this link."""
    fields = {"link": link.partition("link=")[2], "password": PASSWORD, "repeated": PASSWORD}
    with urllib3.PoolManager() as pool:
        url = f"{operator.url}/set-password"
        answer = pool.request("POST", url, fields=fields, encode_multipart=False, redirect=False)
    assert answer.status == 303, answer.data
    return answer.headers["Set-Cookie"].partition(";")[0]


def picture() -> dict[str, tuple[str, bytes, str]]:
    return {"file": ("drawn.png", phantom.png(100, 192, False), "image/png")}


def test_up_makes_an_admin_once_and_lets_nobody_in_without_a_login(operator: Operator) -> None:
    operator.environment["PNEUMO_AUTH"] = "users"
    planned = operator.run("plan")
    assert "people must log in to the web page" in planned.stdout and "makes the first admin" in planned.stdout
    document = operator.json("up", "-y", "--admin", "anna")
    assert document["admin"]["name"] == "anna" and document["changed"][-1] == "first admin anna"
    assert document["prediction"]["finding"] in ("pneumonia", "no pneumonia")
    assert [user["name"] for user in operator.json("users", "ls")["users"]] == ["anna"]  # not that of the proof

    for method, path in (("GET", "/predictions"), ("POST", "/predictions"), ("GET", "/")):
        assert ask(operator, method, path).status == 401
    cookie = log_in(operator, document["admin"]["link"]["url"])
    sent = ask(operator, "POST", "/predictions", cookie, fields=picture())
    assert sent.status == 201, sent.data

    again = operator.json("up")  # without -y: there is nothing to do
    assert (again["changed"], again["admin"]) == ([], None)
    assert ask(operator, "GET", "/predictions", cookie).json()["total"] == 1

    added = operator.json("users", "add", "berta", "--role", "reader")
    reader = log_in(operator, added["link"]["url"])
    assert ask(operator, "GET", "/predictions", reader).status == 200
    assert ask(operator, "POST", "/predictions", reader, fields=picture()).status == 403
    operator.json("users", "disable", "berta")
    assert ask(operator, "GET", "/predictions", reader).status == 401

    secrets = operator.stack.secrets()
    assert secrets is not None
    page = (operator.directory / "env" / "ui.env").read_text()
    assert secrets.page_token in page and secrets.api_token not in page
    log = "".join(file.read_text(errors="replace") for file in operator.stack.layout.logs.iterdir() if file.is_file())
    link = document["admin"]["link"]["token"]
    assert link not in log and PASSWORD not in log and secrets.page_token not in log

    operator.environment["PNEUMO_AUTH"] = "none"
    opened = operator.run("up", "-y")
    assert "asks for no login any more" in opened.stderr and "set-password" not in opened.stdout
    assert ask(operator, "GET", "/predictions").json()["total"] == 1
