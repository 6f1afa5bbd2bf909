"""Films with noise, and the files that they are saved as."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from model import phantom

SIDE = 512


def noisy_film(side: int) -> np.ndarray:
    """A drawing with the noise of a detector, uint8 [side, side]."""
    drawn = np.asarray(phantom.draw(3, side), np.float64)
    return (drawn + np.random.default_rng(0).normal(0, 1.5, drawn.shape)).clip(1, 254).astype(np.uint8)


def saved(film: np.ndarray, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(film).save(file, kind, **options)
    return file.getvalue()
