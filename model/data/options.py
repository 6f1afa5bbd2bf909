"""The options of training and export that state where the images are from, and the ages of the patients."""

import argparse
from typing import Any

from model.data.attribution import OLDEST, SOURCE_FILE, SOURCES, are_ages


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that state where the pictures are from, and the ages of the patients."""
    parser.add_argument(
        "--source",
        default="",
        help=f"attribution of the data: {', '.join(SOURCES)} or a text (default: {SOURCE_FILE} of the data)",
    )
    parser.add_argument(
        "--ages",
        nargs=2,
        type=int,
        action=_StoreAges,
        metavar=("LOW", "HIGH"),
        help="youngest and oldest patient in whole years (default: as the publishers of --source state)",
    )


class _StoreAges(argparse.Action):
    """Store two ages. Impossible ones end the command before it trains for hours."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        if not are_ages(values):
            raise argparse.ArgumentError(self, f"expected 0 <= LOW <= HIGH <= {OLDEST}, in whole years")
        setattr(namespace, self.dest, values)
