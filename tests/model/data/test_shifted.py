"""Shifted copies of films: each is as its sample and the seed decide, within the declared strengths."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.data import dataset as data
from model.data import shifted
from model.images.altered_films import reduced
from model.images.decode import to_input


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


@pytest.mark.parametrize(("size", "height", "width"), [((900, 600), 224, 224), ((600, 1400), 160, 160)])
def test_copies_are_as_sharp_as_cuts_of_the_whole_film(
    size: tuple[int, int], height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifted, "OTHERS", 0)
    grey = np.random.default_rng(1).integers(40, 140, (size[1] // 2, size[0] // 2), np.uint8)
    film = Image.fromarray(grey).resize(size, Image.Resampling.NEAREST)
    monkeypatch.setattr(shifted.data, "read", lambda _: film)
    copies, _ = shifted.arrays([SimpleNamespace(label=1)] * 4, height, width, seed=3)
    whole = [
        to_input(shifted.shifted(film, np.random.default_rng([3, 2, index, draw])), height, width)
        for index in range(4)
        for draw in range(shifted.DRAWS)
    ]
    for axis in (0, 1):
        edges = [np.abs(np.diff(np.float32(each[:, :, 0]), axis=axis)).mean() for each in (*copies, *whole)]
        assert np.mean(edges[: len(copies)]) > 0.85 * np.mean(edges[len(copies) :])


def test_films_of_a_usual_input_are_reduced_as_far_as_for_the_refusal() -> None:
    film = Image.new("L", (1000, 1000))
    assert reduced(film).size == reduced(film, (229, 229)).size == (256, 256)
    assert reduced(film, (320, 320)).size == (320, 320)
    assert reduced(Image.new("L", (4000, 3))).size == (256, 1)  # no side vanishes


class Largest:
    """Stands for a generator of random numbers: each is the largest of its range, and nothing is cut."""

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        return high if size is None else np.zeros(size)

    def integers(self, _: int) -> int:
        return 0


def test_grey_values_are_multiplied_and_what_is_brighter_than_white_stays_white() -> None:
    film = Image.fromarray(np.uint8([[0, 1, 50, 100, 159, 160, 250, 255]]))
    copy = shifted.shifted(film, cast(np.random.Generator, Largest()))
    assert np.asarray(copy).tolist() == [[0, 2, 80, 160, 254, 255, 255, 255]]
