"""Draw the README's terminal picture: a real stack comes up, scores a drawing and goes, its output kept as SVG."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 118


def main(picture: Path) -> None:
    """Write the SVG; every line in it was printed by pneumoctl."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory(prefix="pn") as state:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PNEUMO_")}
        environment |= {"XDG_STATE_HOME": state, "XDG_DATA_HOME": state, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
        subprocess.run(
            [sys.executable, "-m", "model.phantom", f"{state}/drawing.png", "--seed", "7", "--opacity"], check=True
        )
        try:
            for words in (("up", "-y"), ("predict", "--remote", "drawing.png"), ("status",)):
                done = subprocess.run(
                    [sys.executable, "-m", "pneumoctl", *words],
                    env=environment,
                    cwd=state,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=True,
                )
                console.print(Text(f"$ pneumoctl {' '.join(words)}", style="bold"))
                console.print(Text.from_ansi(done.stdout.replace(state, "~/.local/state").rstrip()))
                console.print()
        finally:
            subprocess.run(
                [sys.executable, "-m", "pneumoctl", "teardown", "-y", "--purge"], env=environment, check=True
            )
    picture.write_text(console.export_svg(title="pneumoctl on one machine"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
