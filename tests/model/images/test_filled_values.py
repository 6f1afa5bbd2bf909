"""Values that storage left zero, or of another number than the header says, are refused; borders are not."""

from typing import Any

import numpy as np
import pytest

from model import phantom
from tests.model.images.conftest import SIDE


@pytest.mark.parametrize("difference", [-SIDE * 2, -2, 2, SIDE * 50])
def test_pixel_data_of_another_length_than_the_header_says_is_refused(
    films: Any, values: np.ndarray, difference: int
) -> None:
    dataset = films.make(values, 12)
    dataset.PixelData = (dataset.PixelData + bytes(max(difference, 0)))[: len(dataset.PixelData) + difference]
    assert films.refusal(dataset) == "unreadable"


def test_a_pad_byte_belongs_to_an_odd_number_of_bytes(films: Any) -> None:
    odd = np.asarray(phantom.draw(3, SIDE))[:65, :65].copy()
    dataset = films.make(odd)
    dataset.PixelData += b"\0"
    assert films.pixels(dataset).shape == odd.shape


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("share", [0.7, 0.9])
def test_an_end_that_a_broken_transfer_left_zero_is_refused(
    films: Any, values: np.ndarray, photometric: str, share: float
) -> None:
    dataset = films.make(values, 12, PhotometricInterpretation=photometric)
    kept = int(len(dataset.PixelData) * share) // 2 * 2
    dataset.PixelData = dataset.PixelData[:kept] + bytes(len(dataset.PixelData) - kept)
    assert films.refusal(dataset) == "unreadable"


def test_an_end_of_one_bright_value_is_refused(films: Any, values: np.ndarray) -> None:
    filled = values.copy()
    filled[-20:] = 4095
    assert films.refusal(films.make(filled, 12)) == "unreadable"


@pytest.mark.parametrize("share", [0.55, 0.7, 0.9])
def test_a_border_at_the_side_hides_no_missing_end(films: Any, values: np.ndarray, share: float) -> None:
    bordered = values.copy()
    bordered[:, -10:] = 0
    cut = int(share * SIDE) * SIDE + SIDE // 2
    bordered.reshape(-1)[cut:] = 0
    assert films.refusal(films.make(bordered, 12)) == "unreadable"


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
def test_a_bright_frame_and_declared_padding_are_no_damage(films: Any, values: np.ndarray, polarity: str) -> None:
    white = 0 if polarity == "MONOCHROME1" else 4095
    framed = values.copy()
    framed[:20] = framed[-20:] = white
    assert films.pixels(films.make(framed, 12, PhotometricInterpretation=polarity)).shape == values.shape
    ended = values.copy()
    ended[-20:] = white
    padded = films.make(ended, 12, PhotometricInterpretation=polarity, PixelPaddingValue=white)
    assert films.pixels(padded).shape == values.shape


def test_a_dark_border_is_no_damage(films: Any, values: np.ndarray) -> None:
    bordered = values.copy()
    bordered[-30:] = bordered[:, -40:] = 0
    assert films.pixels(films.make(bordered, 12)).shape == values.shape


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.61, 0.9])
def test_a_block_of_zeros_amid_plain_values_is_refused(
    films: Any, values: np.ndarray, share: float, polarity: str
) -> None:
    """In MONOCHROME1 a white bar of eight rows turned a pneumonia of .97 into "no pneumonia"."""
    damaged = values.copy()
    start = int(share * values.size) // SIDE * SIDE + SIDE // 3
    damaged.reshape(-1)[start : start + 8 * SIDE] = 0
    assert films.refusal(films.make(damaged, 12, PhotometricInterpretation=polarity)) == "unreadable"


def test_a_beginning_of_zeros_that_would_be_white_is_refused(films: Any, values: np.ndarray) -> None:
    damaged = values.copy()
    damaged[:20] = 0
    assert films.refusal(films.make(damaged, 12, PhotometricInterpretation="MONOCHROME1")) == "unreadable"
    assert films.pixels(films.make(damaged, 12)).shape == values.shape


def test_dark_rows_between_a_label_and_a_film_are_no_damage(films: Any, values: np.ndarray) -> None:
    labelled = values.copy()
    labelled[10:30] = 0
    assert films.pixels(films.make(labelled, 12)).shape == values.shape
    padded = values.copy()
    padded.reshape(-1)[30 * SIDE + 70 : 50 * SIDE + 90] = 0
    assert films.pixels(films.make(padded, 12, PixelPaddingValue=0)).shape == values.shape
