"""Make the README's pictures from a real stack, in the terminal and in the browser.

`python tests/browser/readme_pictures.py DIRECTORY` writes terminal.svg and page.png. The X-rays are drawings.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

from model import phantom

COLUMNS = 118
ROOT = Path(__file__).parents[2]
WHOLE = phantom.png(22, 512, True)
FILES = {"drawing-1.png": WHOLE, "drawing-2.png": phantom.png(13, 512, False), "broken.png": WHOLE[:9000]}
SHOWN = (("up", "-y"), ("predict", "--remote", *FILES), ("status",))
LONG, HEAD = 16, 6  # lines of one command; of more, the first ones and the last ones are shown
REFUSED = 6  # exit code of `predict`: one file was not assessed


def pneumoctl(*words: str, state: Path) -> str:
    """Run one command line; its output on stdout and stderr."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PNEUMO_")}
    environment |= {"XDG_STATE_HOME": str(state), "XDG_DATA_HOME": str(state), "COLUMNS": str(COLUMNS)}
    environment |= {} if "--json" in words else {"FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "pneumoctl", *words]
    stderr = subprocess.STDOUT if "--json" not in words else subprocess.DEVNULL
    result = subprocess.run(command, env=environment, cwd=state, stdout=subprocess.PIPE, stderr=stderr, text=True)
    if result.returncode not in (0, REFUSED if words[0] == "predict" else 0):
        raise RuntimeError(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}")
    return result.stdout


def shortened(output: str) -> str:
    """Its first and last lines, when it is long."""
    lines = output.rstrip().splitlines()
    if len(lines) > LONG:
        lines = [*lines[:HEAD], f"  … {len(lines) - LONG} lines …", *lines[HEAD - LONG :]]
    return "\n".join(lines)


def terminal(state: Path, picture: Path) -> None:
    """Three commands and what they printed, as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for words in SHOWN:
        output = pneumoctl(*words, state=state).replace(str(state), "~/.local/state").replace(str(ROOT), "~/pneumoctl")
        console.print(Text(f"$ pneumoctl {' '.join(words)}", style="bold"))
        console.print(Text.from_ansi(shortened(output)))
        console.print()
    picture.write_text(console.export_svg(title="pneumoctl on one machine"))


def page(state: Path, picture: Path) -> None:
    """Three files through the page, one of them broken, as PNG."""
    url = json.loads(pneumoctl("status", "--json", state=state))["url"]
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        view = chromium.new_page(viewport={"width": 1100, "height": 760})
        view.goto(url)
        view.get_by_label("Chest X-rays").set_input_files(
            [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in FILES.items()]
        )
        view.get_by_role("button", name="Assess").click()
        view.get_by_role("link", name="Show the results together").click()
        view.get_by_role("heading", name="Results of this upload").wait_for()
        view.wait_for_load_state("networkidle")
        view.screenshot(path=picture, full_page=True)
        chromium.close()


def main(directory: Path) -> None:
    """Both pictures, from one stack."""
    with tempfile.TemporaryDirectory(prefix="pn") as name:
        state = Path(name)
        for file, content in FILES.items():
            (state / file).write_bytes(content)
        try:
            terminal(state, directory / "terminal.svg")
            page(state, directory / "page.png")
        finally:
            pneumoctl("teardown", "-y", "--purge", state=state)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
