"""`python -m model.fetch NAME`: download a public data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.data.partial_file import FetchError
from model.data.publishers import SIZES, fetch_kermany, fetch_pneumoniamnist


def main(argv: Sequence[str] | None = None) -> int:
    """Download a public data set. Exit 0 done, 1 failed, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m model.fetch", description="Download a public data set.")
    parser.add_argument("name", choices=("pneumoniamnist", "kermany"), help="kermany is 1.2 GB")
    parser.add_argument(
        "--size",
        type=int,
        choices=SIZES,
        default=28,
        help="side of the pneumoniamnist pictures in pixels (default: 28)",
    )
    parser.add_argument("--to", type=Path, default=Path("data"), help="target directory (default: data)")
    options = parser.parse_args(argv)
    try:
        if options.name == "kermany":
            path = fetch_kermany(options.to, _PrintedProgress("bytes"), _PrintedProgress("pictures"))
        else:
            path = fetch_pneumoniamnist(options.size, options.to, _PrintedProgress("bytes"))
    except FetchError as error:
        print(f"error: {error}\n  next: {error.hint}", file=sys.stderr)
        return 1
    print(path)
    return 0


class _PrintedProgress:
    """A progress callback that prints a line at every tenth."""

    def __init__(self, unit: str) -> None:
        self.unit, self.tenth = unit, 0

    def __call__(self, done: int, total: int | None) -> None:
        if total and 10 * done // total != self.tenth:
            self.tenth = 10 * done // total
            print(f"{done:,} of {total:,} {self.unit}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
