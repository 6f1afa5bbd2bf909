"""The size of the picture that the API stores with a result, so that the page keeps its place while it loads."""

from collections.abc import Mapping
from typing import Any

MAX_SIDE = 1024  # pixels of a stored picture; webapp/api/preview.py, which the page's host does not have, says so


def stored_size(sent: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels of the stored picture, from those of the picture that was sent."""
    scale = min(1.0, MAX_SIDE / max(sent["width"], sent["height"]))
    return max(1, round(scale * sent["width"])), max(1, round(scale * sent["height"]))
