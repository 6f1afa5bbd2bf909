"""Redis, the API and the page as processes, for a real browser."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.upload_folder import make_folder
from tests.webapp.servers import Gunicorn, RedisServer, api_environment, ui_environment

# Playwright's own list, which this one replaces, and two popups of the address bar: each new window starts a process
# for them, which takes more CPU time than the page itself.
_OFF = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
    *("AimEnabled", "NetworkTimeServiceQuerying", "OptimizationHints", "PreconnectToSearch"),  # they ask elsewhere
    *("HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "ThirdPartyStoragePartitioning", "PaintHolding"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "AvoidCorsURLLoaderRestartOnRedirect", "DestroyProfileOnBrowserClose"),
    *("LensOverlay", "MediaRouter"),
)
_QUIET = (
    f"--disable-features={','.join(_OFF)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

expect.set_options(timeout=30_000)  # milliseconds until a condition must hold, on a busy machine with two cores


@dataclass
class Stack:
    """The three servers."""

    redis: RedisServer
    api: Gunicorn
    ui: Gunicorn

    @classmethod
    def started(cls, directory: Path, bundle: Path, **settings: str) -> "Stack":
        """All three, ready. `settings`: more of the API's environment; AUTH is also the page's."""
        redis = RedisServer(directory / "redis")
        api = Gunicorn("webapp.api", directory, api_environment(redis.port, bundle) | settings)
        of_page = {"AUTH": settings["AUTH"]} if "AUTH" in settings else {}
        stack = cls(redis, api, Gunicorn("webapp.ui", directory, ui_environment(api.url) | of_page))
        try:
            for server in (stack.redis, stack.api, stack.ui):
                server.start()
        except BaseException:
            stack.stop()
            raise
        return stack

    def stop(self) -> None:
        """Stop all three."""
        self.ui.stop()
        self.api.stop()
        self.redis.kill()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Stack]:
    """The stack with the small model, which classifies drawings."""
    started = Stack.started(tmp_path_factory.mktemp("stack"), tiny_bundle)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the program named in CHROMIUM."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no Chromium: install the package chromium or name one in CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(_QUIET))
        yield started
        started.close()


class Watched:
    """A page on which every script error, blocked resource and failed load fails the test."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("request", self._local)

    def _local(self, request) -> None:
        if not re.match(r"(http://127\.0\.0\.1:\d+/|blob:http://127\.0\.0\.1|data:)", request.url):
            self.complaints.append(f"asked elsewhere: {request.url}")


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A new watched page of desktop width in light colours."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light")
    yield Watched(context.new_page())
    context.close()


@pytest.fixture
def scriptless(browser: Browser) -> Iterator[BrowserContext]:
    """A browser context without scripts."""
    context = browser.new_context(java_script_enabled=False)
    yield context
    context.close()


@pytest.fixture(scope="session")
def shoot():
    """Write a screenshot to the folder in PNEUMO_SCREENSHOTS, if it is set."""
    folder = os.environ.get("PNEUMO_SCREENSHOTS")

    def save(page: Page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return save


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films and other files in nested folders, to send."""
    return make_folder(tmp_path_factory.mktemp("upload"))


@pytest.fixture
def emptied(stack: Stack) -> Iterator[None]:
    """No result of another test."""
    yield
    stack.redis.client().flushall()
