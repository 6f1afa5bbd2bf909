"""The end of the login that all users of an earlier release shared: no page is open at any time."""

import http.server
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pneumoctl.hosts import configure, nginx
from pneumoctl.plan.steps import Put, Step
from tests import needs
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED
from tests.pneumoctl.hosts.plan_contents import named
from tests.serving import serving

EARLIER = replace(DESIRED, shared_login=True, current_links={"nginx": {}, "monitoring": {}, **CURRENT_LINKS})


def writes(step: Step) -> bool:
    """Whether the step writes the configuration of nginx."""
    return any(isinstance(action, Put) and action.path == nginx.CONFIG for action in step.actions)


def asks(step: Step) -> bool:
    """Whether nginx asks for the shared login with the configuration of this step."""
    (config,) = [action.content for action in step.actions if isinstance(action, Put) and action.path == nginx.CONFIG]
    return "auth_basic_user_file /etc/pneumoctl/htpasswd;" in config


def test_nginx_asks_for_the_shared_login_until_every_page_asks_for_one() -> None:
    plan = configure.plan(EARLIER)
    changes = {step.title: asks(step) for step in plan.steps if writes(step)}
    assert changes == {
        "Drain web-0 at the front door": True,
        "Drain web-1 at the front door": True,
        "Send requests to all web hosts again": True,
        "Configure the front door": False,
    }
    last = named(plan, "Configure the front door")
    assert set(last.after) == {"serve web-0", "serve web-1"}
    pages = ("http://10.20.1.12:8080/", "http://10.20.1.13:8080/")
    assert any(probe.argv[-2:] == pages for probe in last.validate)


def test_the_password_file_goes_last() -> None:
    titles = [step.title for step in configure.plan(EARLIER).steps if "nginx" in step.hosts]
    assert titles.index("End the shared login of the front door") == titles.index("Configure the front door") + 1


def test_a_stack_of_users_waits_for_nothing() -> None:
    plan = configure.plan(replace(EARLIER, shared_login=False))
    assert named(plan, "Configure the front door").after == ()
    assert not any(asks(step) for step in plan.steps if writes(step))


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every request with the status in its path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)) as server:
        yield f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.skipif(not shutil.which("curl"), reason=needs.CURL)
@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((303, 302), ""),
        ((303, 200), "answers 200 without a login, so the shared login stays"),
        ((500,), "answers 500 without a login"),
        ((), "gives no answer, so the shared login stays"),
    ],
)
def test_a_page_that_asks_for_no_login_or_does_not_answer_keeps_the_shared_one(
    page: str, statuses: tuple[int, ...], reason: str
) -> None:
    urls = [f"{page}{status}" for status in statuses] or ["http://127.0.0.1:1/"]
    ended = subprocess.run(["sh", "-c", nginx._ASKS_FOR_LOGIN, "sh", *urls], capture_output=True, text=True, timeout=60)
    assert ended.returncode == bool(reason) and reason in ended.stdout
