"""Explain a score with a heat map: which parts of the picture change it, on one scale for all pictures."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.images.black_border import inside
from model.serving.legend import with_legend
from model.serving.occlusion import occlusion

if TYPE_CHECKING:
    from model.serving.predict import Classifier

# Logits of full colour. On 200 validation films of the shipped model the strongest cell is below 2.45 on 95 %, after
# the mean map is subtracted.
FULL_COLOUR = 3.0
MIN_SIDE, MAX_SIDE = 512, 1024  # pixels of the longer side of a picture with a heat map; the map itself is coarse
_FOR = np.array(
    [230, 60, 30], dtype=np.float32
)  # positive: the cell increases the score, more than in other films if their mean was subtracted
_AGAINST = np.array([40, 110, 230], dtype=np.float32)
_STRENGTH = 0.55  # largest opacity of the colour, so that the picture stays visible
_LEGEND = "Logits lost when a part is covered, "


def heat_map(classifier: "Classifier", grey: Image.Image) -> Image.Image:
    """A picture (mode "L") with its heat map and a legend, mode "RGB".

    The mean map of the bundle is subtracted if it has one: what is left is of this picture, not of every chest.
    Raises ArithmeticError if an output of the network is not finite.
    """
    heat, section = occlusion(classifier, grey), classifier.bundle.heat_map
    if section is None:
        text = _LEGEND + "the mean of other films not subtracted"
    else:
        heat = heat - np.asarray(section["mean"], dtype=np.float32)
        text = _LEGEND + f"minus the mean of {section['films']} films"
    return with_legend(overlay(grey, heat), mixed, FULL_COLOUR, text)


def overlay(grey: Image.Image, heat: np.ndarray) -> Image.Image:
    """Draw a map over its picture; returns mode "RGB" with MIN_SIDE to MAX_SIDE pixels on the longer side.

    Red cells are positive, blue ones negative. The colour depends on the logits alone, so that maps of two
    pictures can be compared. A black border has no colour.
    """
    longer = max(grey.size)
    scale = min(max(longer, MIN_SIDE), MAX_SIDE) / longer
    width, height = (max(1, round(scale * side)) for side in grey.size)
    picture = grey.resize((width, height), Image.Resampling.BILINEAR)
    left, top, right, bottom = inside(grey).within(width, height)
    effect = np.zeros((height, width), dtype=np.float32)
    scaled = Image.fromarray((heat / FULL_COLOUR).astype(np.float32))
    effect[top:bottom, left:right] = scaled.resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    return Image.fromarray(mixed(np.asarray(picture, dtype=np.float32), effect))


def mixed(grey: np.ndarray, effect: np.ndarray) -> np.ndarray:
    """Grey values with the colours of effects over them: uint8 [..., 3]; full colour at -1 and 1 and beyond."""
    share = _STRENGTH * np.abs(effect).clip(0, 1)[..., np.newaxis]
    colour = np.where(effect[..., np.newaxis] > 0, _FOR, _AGAINST)
    return np.rint((1 - share) * grey[..., np.newaxis] + share * colour).clip(0, 255).astype(np.uint8)
