"""Copies of films as other hospitals might have made them: another framing, exposure and processing.

Plain validation films resemble the training films so much that they rank all networks alike after a few epochs. The
network and its threshold are therefore chosen on these copies, whose kinds and strengths are declared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from model.data import dataset as data
from model.data.dataset import Sample
from model.images.altered_films import HARMLESS, reduced
from model.images.decode import to_input

DRAWS = 3  # copies of each film
CROP = 0.15  # largest share cut off each side, by itself
EXPOSURE = 1.6  # largest factor of the grey values, its inverse the smallest; what is brighter than white stays white
OTHERS = 2  # largest number of harmless alterations besides


def arrays(samples: Sequence[Sample], height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8 [DRAWS n, height, width, 1], labels int64 [DRAWS n]): DRAWS copies of each sample.

    A copy depends on the seed and on the position of its sample alone. Films are reduced first, but not so far that the
    largest cut leaves fewer pixels than the input has: the copies would be blurred, and the plain films are not.
    """
    pixels = np.empty((DRAWS * len(samples), height, width, 1), np.uint8)

    least = width / (1 - 2 * CROP), height / (1 - 2 * CROP)

    def fill(index: int) -> None:
        film = reduced(data.read(samples[index]), least)
        for draw in range(DRAWS):
            copy = shifted(film, np.random.default_rng([seed, 2, index, draw]))
            pixels[DRAWS * index + draw] = to_input(copy, height, width)

    with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock for most of the work
        list(pool.map(fill, range(len(samples))))
    return pixels, np.repeat(np.array([sample.label for sample in samples], np.int64), DRAWS)


def shifted(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A copy of a film (mode "L") that is cut, made brighter or darker, and altered in up to OTHERS harmless ways."""
    left, top, right, bottom = rng.uniform(0, CROP, 4)
    width, height = film.size
    film = film.crop((int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height)))
    gain = EXPOSURE ** rng.uniform(-1, 1)
    film = film.point([min(255, int(gain * value + 0.5)) for value in range(256)])
    kinds = list(HARMLESS.values())
    for _ in range(int(rng.integers(OTHERS + 1))):
        film = kinds[int(rng.integers(len(kinds)))](film, rng)
    return film
