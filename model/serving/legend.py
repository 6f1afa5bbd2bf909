"""Draw the legend of a heat map below it, so that each copy of the picture says what its colours mean."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

LEAST_WIDTH = 320  # pixels of a picture with a legend; narrower ones get a margin
_PAPER, _INK, _GREY = (255, 255, 255), (0, 0, 0), 128.0
_SMALLEST_FONT, _WIDTHS_A_LETTER = 13, 38  # pixels; so many font sizes make the width of the picture
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # shares of full colour

Colour = Callable[[np.ndarray, np.ndarray], np.ndarray]  # grey values and effects from -1 to 1 -> RGB


def with_legend(picture: Image.Image, colour: Colour, full: float, text: str) -> Image.Image:
    """A picture (mode "RGB") with a colour bar in logits and a text below it.

    full: logits of the strongest colours, those at the ends of the bar.
    """
    from PIL import ImageDraw, ImageFont  # not loaded to score a file

    width = max(picture.width, LEAST_WIDTH)
    size = max(_SMALLEST_FONT, width // _WIDTHS_A_LETTER)
    font = ImageFont.load_default(size)
    lines = _wrapped(text, font, width - 2 * size)
    gap = size // 2
    bar = (size, picture.height + gap, width - size, picture.height + gap + size)
    line_height = round(1.3 * size)
    page = Image.new("RGB", (width, bar[3] + gap + line_height * (1 + len(lines)) + gap), _PAPER)
    page.paste(picture, ((width - picture.width) // 2, 0))
    page.paste(_bar(bar[2] - bar[0], size, colour), bar[:2])
    pen = ImageDraw.Draw(page)
    for share in _TICKS:
        at = bar[0] + (bar[2] - bar[0] - 1) * (share + 1) / 2
        pen.line((at, bar[3], at, bar[3] + gap // 2), _INK)
        label = _label(share, full)
        half = font.getlength(label) / 2
        pen.text((min(max(at, half + gap), width - half - gap), bar[3] + gap), label, _INK, font, "ma")
    for number, line in enumerate(lines, 1):
        pen.text((size, bar[3] + gap + number * line_height), line, _INK, font, "la")
    return page


def _label(share: float, full: float) -> str:
    """The number at a tick, in ASCII, which every font has; the ends of the bar also stand for what is beyond."""
    number = f"{share * full:+g}" if share else "0 logits"
    return number + {-1.0: " or less", 1.0: " or more"}.get(share, "")


def _bar(width: int, height: int, colour: Colour) -> Image.Image:
    """The colours from the lowest to the highest effect, over the same grey."""
    effect = np.tile(np.linspace(-1, 1, width, dtype=np.float32), (height, 1))
    return Image.fromarray(colour(np.full_like(effect, _GREY), effect))


def _wrapped(text: str, font: "FreeTypeFont | ImageFont", width: int) -> list[str]:
    """The text in lines that are not wider than `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if font.getlength(longer) <= width else [lines[-1], word]
    return [line for line in lines if line]
