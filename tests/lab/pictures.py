"""Make the README's pictures of the aws target, in the lab: the terminal, the page behind nginx, Prometheus' targets.

`python -m tests.lab.pictures DIRECTORY [--name LAB]`: it starts a lab and a stack in it and ends both (an existing LAB
with a stack stays). The X-rays are synthetic.
"""

import argparse
import io
import json
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from model import phantom
from tests.lab.machine.lab import Lab
from tests.lab.wait import wait_for

COLUMNS = 118
COMMANDS = (("up", "-y"), ("status",), ("cost",), ("drift",))
MAX_LINES = 36  # maximum number of lines of a command; longer output is cut in the middle


def terminal(lab: Lab, picture: Path) -> None:
    """A command and its output as an SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for arguments in COMMANDS:
        lines = output(lab, *arguments)
        if len(lines) > MAX_LINES:
            lines = [*lines[: MAX_LINES // 2], f"  … {len(lines) - MAX_LINES} lines …", *lines[-MAX_LINES // 2 :]]
        console.print(Text(f"$ pneumoctl {' '.join(arguments)}", style="bold"))
        console.print(Text.from_ansi("\n".join(lines)))
        console.print()
    picture.write_text(console.export_svg(title="pneumoctl on AWS (in the lab)"))


def output(lab: Lab, *arguments: str) -> list[str]:
    """The lines that a command prints. `status` is repeated until it shows no "?": a busy machine answers too late."""
    shown: list[str] = []

    def complete() -> bool:
        result = lab.run(["pneumoctl", *arguments], code=None, timeout=900, env={"COLUMNS": str(COLUMNS)})
        shown[:] = (result.stderr + result.stdout).rstrip().splitlines()
        return arguments != ("status",) or not any(line.rstrip().endswith("?") for line in shown)

    wait_for("a complete status", complete)
    return shown


def browse(directory: Path, link: str) -> None:
    """Inside the lab: upload two synthetic images and a broken file; take pictures of the page and of Prometheus."""
    from playwright.sync_api import sync_playwright

    image = phantom.png(22, 512, True)
    files = [("drawing-1.png", image), ("drawing-2.png", phantom.png(13, 512, False)), ("broken.png", image[:9000])]
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    tunnel = subprocess.Popen(["pneumoctl", "tunnel", "prometheus"], stdout=subprocess.PIPE, text=True)
    with sync_playwright() as play, tunnel:
        try:
            chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
            # The stack's self-signed certificate, which pneumoctl pins.
            view = chromium.new_page(viewport={"width": 1100, "height": 760}, ignore_https_errors=True)
            view.goto(link)
            for label in ("New password", "The same again"):
                view.get_by_label(label, exact=True).fill("of a picture alone")
            view.get_by_role("button", name="Set the password").click()
            view.get_by_label("Chest X-rays").set_input_files(
                [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
            )
            view.get_by_role("button", name="Assess").click()
            view.get_by_role("heading", name="Results of this upload").wait_for()
            view.wait_for_load_state("networkidle")
            view.screenshot(path=directory / "front-door.png", full_page=True)
            assert tunnel.stdout
            view.goto(f"{tunnel.stdout.readline().strip()}/classic/targets")
            view.get_by_text(re.compile(r"up\)")).first.wait_for()
            view.wait_for_timeout(1500)
            view.screenshot(path=directory / "targets.png", full_page=True)
            chromium.close()
        finally:
            tunnel.terminate()


def main() -> None:
    """Make all pictures from one stack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--name", default="pictures")
    parser.add_argument("--inside", metavar="LINK_FILE", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    directory = options.directory.resolve()
    if options.inside:
        browse(directory, options.inside.read_text())
        return
    lab = Lab(options.name)
    already_up = lab.paths.home.exists()
    try:
        if not already_up:
            lab.up()
        terminal(lab, directory / "aws.svg")
        user = f"pictures-{secrets.token_hex(4)}"
        added = json.loads(lab.run(["pneumoctl", "users", "add", user, "--role", "reviewer", "--json"]).stdout)
        link = lab.paths.home / "link"
        link.write_text(added["link"]["url"])
        inside = ["--inside", str(link)]
        root = Path(__file__).resolve().parents[2]
        argv = [sys.executable, "-m", "tests.lab.pictures", str(directory), *inside]
        lab.run(argv, timeout=900, env={"PYTHONPATH": str(root)})
    finally:
        if not already_up:
            lab.down()


if __name__ == "__main__":
    main()
