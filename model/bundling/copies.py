"""Compute the statistics of films and of their harmless and unsuitable copies, on which the refusal is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from model import phantom
from model.data import dataset as data
from model.data.dataset import Sample
from model.images import refuse
from model.images.altered_films import UNSUITABLE, Alteration, harmless, reduced
from model.images.decode import resize

HARMLESS_COPIES, UNSUITABLE_COPIES = 3, 9  # of each training film
SEVERAL = "several of these"
_DRAWN_SIZES = (96, 128, 160, 256, 512)
Size = tuple[int, int]  # (height, width) of the network's input, in which serving computes the statistics
_KINDS = list(UNSUITABLE.values())


def films(samples: Sequence[Sample], size: Size) -> np.ndarray:
    """The statistics of the pictures as they are, float64 [n, len(refuse.NAMES)]."""

    def row(sample: Sample) -> np.ndarray:
        picture = data.picture(sample)
        return _statistics(picture.grey, picture.colourful, size)

    return np.stack(_parallel(row, samples))


def of_training(samples: Sequence[Sample], seed: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of (harmless, unsuitable) copies of films: a few of random kinds of each film."""

    def rows(job: tuple[int, Sample]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        film, colourful = _film(job[1])
        rng = np.random.default_rng([seed, 0, job[0]])
        good = [harmless(film, rng) for _ in range(HARMLESS_COPIES)]
        bad = [_KINDS[kind](film, rng) for kind in rng.choice(len(_KINDS), UNSUITABLE_COPIES, replace=False)]
        return [_statistics(copy, colourful, size) for copy in good], [
            _statistics(copy, colourful, size) for copy in bad
        ]

    done = _parallel(rows, list(enumerate(samples)))
    return np.concatenate([good for good, _ in done]), np.concatenate([bad for _, bad in done])


def by_kind(samples: Sequence[Sample], kinds: dict[str, Alteration], seed: int, size: Size) -> dict[str, np.ndarray]:
    """Statistics of copies of films by kind: one of each film and kind."""

    def rows(job: tuple[int, Sample]) -> list[np.ndarray]:
        film, colourful = _film(job[1])
        rng = np.random.default_rng([seed, 1, job[0]])
        return [_statistics(alter(film, rng), colourful, size) for alter in kinds.values()]

    done = np.array(_parallel(rows, list(enumerate(samples))))
    return {kind: done[:, column] for column, kind in enumerate(kinds)}


def of_drawings(seeds: Iterable[int], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of synthetic radiographs, which serving must accept, and of one unsuitable copy of each."""

    def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        drawing = phantom.draw(seed, int(rng.choice(_DRAWN_SIZES)), seed % 2 == 0)
        unsuitable = _KINDS[int(rng.integers(len(_KINDS)))](reduced(drawing), rng)
        return _statistics(drawing, 0.0, size), _statistics(unsuitable, 0.0, size)

    done = _parallel(rows, list(seeds))
    return np.stack([good for good, _ in done]), np.stack([bad for _, bad in done])


def _statistics(grey: Image.Image, colourful: float, size: Size) -> np.ndarray:
    return refuse.statistics(resize(grey, *size), colourful)


def _film(sample: Sample) -> tuple[Image.Image, float]:
    picture = data.picture(sample)
    return reduced(picture.grey), picture.colourful


def _parallel(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    # Pillow and NumPy release the interpreter lock for most of the work, so threads suffice.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, items))
