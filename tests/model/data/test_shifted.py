"""Shifted copies of films: each is as its sample and the seed decide, within the declared strengths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.data import dataset as data
from model.data import shifted


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[data.Sample, ...]:
    directory = tmp_path_factory.mktemp("tree")
    phantom.tree(directory, patients=4, seed=5, size=64)
    return data.load(directory).part("train")


def test_each_film_has_its_copies_with_its_label(samples: tuple[data.Sample, ...]) -> None:
    pixels, labels = shifted.arrays(samples, 48, 40, seed=3)
    assert (pixels.shape, pixels.dtype) == ((shifted.DRAWS * len(samples), 48, 40, 1), np.uint8)
    assert list(labels) == [sample.label for sample in samples for _ in range(shifted.DRAWS)]
    assert len({copy.tobytes() for copy in pixels}) == len(pixels)


def test_copies_depend_on_the_seed_and_the_place_of_their_sample_alone(samples: tuple[data.Sample, ...]) -> None:
    pixels, _ = shifted.arrays(samples, 48, 48, seed=3)
    assert np.array_equal(pixels, shifted.arrays(samples, 48, 48, seed=3)[0])
    assert np.array_equal(pixels[: 2 * shifted.DRAWS], shifted.arrays(samples[:2], 48, 48, seed=3)[0])
    assert not np.array_equal(pixels, shifted.arrays(samples, 48, 48, seed=4)[0])


def test_what_is_cut_and_how_much_brighter_stays_within_the_declared_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifted, "OTHERS", 0)
    film = Image.fromarray(np.full((200, 100), 100, np.uint8))
    copies = [shifted.shifted(film, np.random.default_rng(seed)) for seed in range(300)]
    widths, heights = np.array([copy.size for copy in copies]).T
    assert widths.min() >= 70 and heights.min() >= 140 and widths.max() > 95 and heights.max() > 190
    values = np.array([copy.getpixel((0, 0)) for copy in copies])
    assert values.min() >= 62 and values.max() <= 161 and values.min() < 66 < 154 < values.max()


def test_a_film_that_becomes_brighter_than_white_stays_white(tmp_path: Path) -> None:
    film = Image.fromarray(np.full((64, 64), 250, np.uint8))
    copies = [np.asarray(shifted.shifted(film, np.random.default_rng(seed))) for seed in range(40)]
    assert max(copy.max() for copy in copies) == 255
