"""The values of a film of more than 8 bits: by their window they show the film as its 8-bit picture, and no less."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.images import grey16
from model.images.decode import Picture, decode
from model.images.grey16 import Grey16
from tests.model.images.encoding import encode


def shown(film: Grey16) -> np.ndarray:
    """The film by its window, as PS3.3 C.11.2.1.2.1 defines it, int [rows, columns]."""
    values = np.asarray(film.grey).astype(np.float64) * film.slope + film.intercept
    share = ((values - (film.centre - 0.5)) / (film.width - 1) + 0.5).clip(0, 1)
    return np.rint(255 * (1 - share if film.inverted else share)).astype(int)


def decoded(films: Any, values: np.ndarray, bits: int, **tags: Any) -> Picture:
    return decode(films.content(films.make(values, bits, **tags)), wide=True)


@pytest.fixture
def detector(film: np.ndarray) -> np.ndarray:
    """The drawing in 12 bits, with all of its values, uint16 [96, 96]."""
    return np.rint(film / 255 * 4095).astype(np.uint16)


TAGS: list[dict[str, Any]] = [
    {},
    {"WindowCenter": "2000", "WindowWidth": "1500"},
    {"WindowCenter": "2000", "WindowWidth": "1500", "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": "2000", "WindowWidth": "1500", "VOILUTFunction": "SIGMOID"},
    {"WindowCenter": "976", "WindowWidth": "1500", "RescaleSlope": "1", "RescaleIntercept": "-1024"},
    {"WindowCenter": "9.5", "WindowWidth": "12.25", "RescaleSlope": "0.005", "RescaleIntercept": "-0.5"},
    {"WindowCenter": "-2000", "WindowWidth": "3000", "RescaleSlope": "-1", "RescaleIntercept": "0"},
    {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": "1800", "WindowWidth": "2500"},
    {"PresentationLUTShape": "INVERSE"},
    {"PatientOrientation": ["R", "F"]},
    {"PatientOrientation": ["H", "L"]},
]


@pytest.mark.parametrize("tags", TAGS, ids=str)
def test_the_first_window_shows_the_picture_that_the_model_saw(
    films: Any, detector: np.ndarray, tags: dict[str, Any]
) -> None:
    picture = decoded(films, detector, 12, **tags)
    assert picture.wide is not None and picture.wide.grey.mode == "I;16"
    assert np.abs(shown(picture.wide) - np.asarray(picture.grey)).max() <= 1
    if "WindowCenter" in tags and "VOILUTFunction" not in tags:
        assert (picture.wide.centre, picture.wide.width) == (float(tags["WindowCenter"]), float(tags["WindowWidth"]))


def test_signed_values_and_padding_are_shown_as_in_the_picture(films: Any, detector: np.ndarray) -> None:
    values = detector.astype(np.int16) - 2048
    values[:9] = -30000
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        tags = {"PixelPaddingValue": -30000, "PhotometricInterpretation": photometric}
        picture = decoded(films, values, 16, **tags)
        assert picture.wide is not None
        assert np.abs(shown(picture.wide) - np.asarray(picture.grey)).max() <= 1
        assert shown(picture.wide)[:9].max() == 0


def test_no_value_within_the_bits_is_lost(films: Any, detector: np.ndarray) -> None:
    for bits, tags in ((12, {"RescaleSlope": "0.25"}), (16, {"RescaleSlope": "-3", "RescaleIntercept": "7"})):
        picture = decoded(films, detector, bits, WindowCenter="100", WindowWidth="2", **tags)
        assert picture.wide is not None
        slope, intercept = float(tags["RescaleSlope"]), float(tags.get("RescaleIntercept", 0))
        values = np.asarray(picture.wide.grey).astype(np.float64) * picture.wide.slope + picture.wide.intercept
        assert np.allclose(values, detector * slope + intercept, atol=1e-6)


def test_tables_of_the_header_are_applied(films: Any, detector: np.ndarray) -> None:
    from pydicom import Dataset

    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table.LUTData = np.rint(4095 * (np.arange(4096) / 4095) ** 0.5).astype("<u2").tobytes()
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        picture = decoded(films, detector, 12, **{keyword: [table]})
        assert picture.wide is not None
        assert np.abs(shown(picture.wide) - np.asarray(picture.grey)).max() <= 1


def test_a_large_film_is_shrunk_and_a_flat_one_has_a_window(films: Any) -> None:
    values = np.linspace(0, 4095, 3000 * 1200).astype(np.uint16).reshape(3000, 1200)
    large = decoded(films, values, 12).wide
    assert large is not None and large.grey.size == (819, 2048)
    assert np.abs(np.asarray(large.grey)[:, 400].astype(int) - np.linspace(0, 4095, 2048)).max() < 3
    assert large.shrunk(9999) is large and large.shrunk(1024).grey.size == (410, 1024)
    flat = decoded(films, np.full((80, 80), 700, np.uint16), 12).wide
    assert flat is not None and flat.width > 0 and flat.slope > 0


def test_a_film_of_8_bits_has_none_nor_one_that_is_not_asked_for(films: Any, film: np.ndarray) -> None:
    assert decoded(films, film, 8).wide is None
    assert decoded(films, film.astype(np.uint16), 8).wide is None
    assert decode(films.content(films.make(film.astype(np.uint16), 12))).wide is None
    assert decode(encode(Image.fromarray(film)), wide=True).wide is None
    assert decode(encode(Image.fromarray(film), "JPEG"), wide=True).wide is None


def test_a_png_of_16_bits_has_its_values_and_is_rotated(detector: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for options in ({}, {"exif": exif}):
        picture = decode(encode(Image.fromarray(detector), **options), wide=True)
        assert picture.wide is not None and picture.wide.grey.size == picture.grey.size
        assert np.abs(shown(picture.wide) - np.asarray(picture.grey)).max() <= 1
    assert (np.asarray(picture.wide.grey) == np.rot90(detector, -1)).all()


def test_the_greatest_side_is_what_the_documents_say() -> None:
    assert grey16.MAX_SIDE == 2048
