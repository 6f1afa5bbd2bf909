"""Drawings for the tests of decoding: a picture, the values of a detector, and a film."""

import numpy as np
import pytest
from PIL import Image

from model import phantom
from tests.model.images import noisy_films

SIDE = 256


@pytest.fixture(scope="module")
def grey() -> Image.Image:
    return phantom.draw(1, 128)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """A drawing in 12 bits with the noise of a detector, uint16 [SIDE, SIDE]."""
    drawn = np.asarray(phantom.draw(3, SIDE), np.float64) * 16
    return (drawn + np.random.default_rng(0).normal(0, 20, drawn.shape)).clip(1, 4095).astype(np.uint16)


@pytest.fixture(scope="module")
def bordered_film() -> np.ndarray:
    """A film with a black border, uint8 [noisy_films.SIDE, noisy_films.SIDE]."""
    noisy = noisy_films.noisy_film(noisy_films.SIDE)
    noisy[:, :100] = noisy[-60:] = 0
    return noisy
