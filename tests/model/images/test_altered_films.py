"""Altered copies of films: equal for equal random numbers, valid pictures of any size, and different from the film."""

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.images import altered_films
from model.images.altered_films import HARMLESS, UNSUITABLE

KINDS = {**HARMLESS, **UNSUITABLE}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (256, 90), (200, 256)])
def test_a_copy_is_a_grey_picture_and_the_film_stays(kind: str, size: tuple[int, int]) -> None:
    film = phantom.draw(3, 128).resize(size)
    before = film.tobytes()
    for seed in range(8):
        copy = KINDS[kind](film, np.random.default_rng(seed))
        assert copy.mode == "L" and min(copy.size) >= 16
    assert film.tobytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_equal_random_numbers_give_equal_copies(kind: str) -> None:
    film = phantom.draw(3, 160)
    first, second = (KINDS[kind](film, np.random.default_rng(4)) for _ in range(2))
    assert first.size == second.size and first.tobytes() == second.tobytes()
    assert first.resize(film.size).tobytes() != film.tobytes()


def test_turned_and_inverted_copies_are_exact() -> None:
    film, rng = phantom.draw(3, 160), np.random.default_rng(1)
    assert UNSUITABLE["turned by 180 degrees"](film, rng).tobytes() == film.rotate(180).tobytes()
    assert np.array_equal(255 - np.asarray(UNSUITABLE["inverted"](film, rng)), np.asarray(film))


def test_large_films_are_reduced_and_small_ones_are_not() -> None:
    film = phantom.draw(3, 160)
    assert altered_films.reduced(film) is film
    assert altered_films.reduced(Image.new("L", (3000, 1500))).size == (256, 128)
    assert altered_films.reduced(Image.new("L", (3, 5000))).size == (1, 256)
