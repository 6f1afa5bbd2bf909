"""What Lighthouse thinks of each page: nothing to mend for people, and fast."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Stack
from tests.browser.viewer_pages import upload
from tests.templates.programs import checker

LEAST = {"accessibility": 1.0, "performance": 0.95}
FLAGS = "--headless=new --no-sandbox --disable-gpu"


def judged(address: str, chromium: str, report: Path) -> dict[str, float]:
    """The scores that Lighthouse gives a page on a desk, 0 to 1."""
    argv = [checker("node"), checker("lighthouse"), address, "--quiet", "--output=json", f"--output-path={report}"]
    argv += [f"--only-categories={','.join(LEAST)}", "--preset=desktop", f"--chrome-flags={FLAGS}"]
    environment = {**os.environ, "CHROME_PATH": chromium}
    result = subprocess.run(argv, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stdout + result.stderr
    document = json.loads(report.read_text())
    return {name: document["categories"][name]["score"] for name in LEAST}


@pytest.mark.repeat
def test_every_page_is_accessible_and_fast(stack: Stack, browser: Browser, chromium: str, tmp_path: Path):
    films = upload(stack, browser, tmp_path, [(1024, 1024)] * 12, "lighthouse")
    found = films[0]
    pages = ["/", "/predictions", "/predictions?q=nothing", f"/results?id={found[-32:]}", found, f"{found}/erase"]
    for path in pages:
        scores = judged(stack.ui.url + path, chromium, tmp_path / "report.json")
        poor = {name: score for name, score in scores.items() if score < LEAST[name]}
        assert poor == {}, path
