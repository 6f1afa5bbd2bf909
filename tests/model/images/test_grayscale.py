"""Stored values to shown grey: depth, sign, polarity, modality and VOI tables, windows, padding."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_depth_sign_and_polarity(films: Any, film: np.ndarray, bits: int, signed: bool, photometric: str) -> None:
    values = np.rint(film / 255 * (2**bits - 1)).astype(np.int64)
    if photometric == "MONOCHROME1":
        values = 2**bits - 1 - values
    if signed:
        values -= 2 ** (bits - 1)
    kind = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    shown = films.pixels(films.make(values.astype(kind), bits, PhotometricInterpretation=photometric))
    assert np.abs(shown - film).max() <= 1


def ramp(low: int, high: int, kind: str = "<u2") -> np.ndarray:
    """Every value from `low` to `high`, in order, as a picture 80 values wide."""
    values = np.linspace(low, high, 80 * 80).round()
    return values.astype(kind).reshape(80, 80)


def test_without_a_window_the_pictures_own_range_is_shown(films: Any) -> None:
    shown = films.pixels(films.make(ramp(1000, 3000), 16))
    assert shown.ravel()[0] == 0 and shown.ravel()[-1] == 255
    assert abs(shown.ravel()[3200] - 127.5) < 2


def test_eight_bits_without_a_window_are_left_alone(films: Any) -> None:
    values = ramp(50, 200, "u1")
    for tags in ({}, {"RescaleSlope": "1", "RescaleIntercept": "0"}):
        assert (films.pixels(films.make(values, **tags)) == values).all()


def test_a_flat_picture_does_not_divide_by_zero(films: Any) -> None:
    assert films.pixels(films.make(np.full((80, 80), 700, dtype="<u2"), 12)).max() <= 255


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # PS3.3 C.11.2.1.2: x <= c - 0.5 - (w-1)/2 -> 0; x > c - 0.5 + (w-1)/2 -> 255; linear between
        ("LINEAR", {0: 0, 1000: 0, 1500: 127.6, 1999: 255, 4000: 255}),
        ("LINEAR_EXACT", {0: 0, 1000: 0, 1500: 127.5, 2000: 255, 4000: 255}),
        # C.11.2.1.3.1: 255 / (1 + exp(-4 (x - c) / w))
        ("SIGMOID", {1000: 30.4, 1500: 127.5, 2000: 224.6, 4000: 255}),
    ],
)
def test_window_functions(films: Any, function: str, expected: dict[int, float]) -> None:
    values = np.zeros((80, 80), dtype="<u2")
    values[0, : len(expected)] = list(expected)
    tags = {"WindowCenter": "1500", "WindowWidth": "1000", "VOILUTFunction": function}
    shown = films.pixels(films.make(values, 12, **tags))
    assert shown[0, : len(expected)] == pytest.approx(list(expected.values()), abs=0.6)


def test_first_of_several_windows_is_used(films: Any) -> None:
    values = ramp(0, 4000)
    single = films.pixels(films.make(values, 12, WindowCenter="1000", WindowWidth="500"))
    many = films.pixels(films.make(values, 12, WindowCenter=["1000", "3000"], WindowWidth=["500", "100"]))
    assert (single == many).all()


@pytest.mark.parametrize("width", ["0", "-5", "0.5"])
def test_impossible_window_is_ignored(films: Any, width: str) -> None:
    shown = films.pixels(films.make(ramp(0, 4000), 12, WindowCenter="100", WindowWidth=width))
    assert shown.ravel()[0] == 0 and shown.ravel()[-1] == 255 and abs(shown.ravel()[3200] - 127.5) < 2


def test_window_counts_in_rescaled_units(films: Any) -> None:
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1000", "WindowCenter": "1000", "WindowWidth": "2001"}
    shown = films.pixels(films.make(ramp(0, 2000), 12, **tags))
    assert shown.ravel()[1000] == 0  # 312 -> -375
    assert abs(shown.ravel()[3200] - 127.5) < 2  # 1000 -> 1000
    assert shown.ravel()[5000] == 255  # 1563 -> 2126


def test_negative_slope_turns_the_picture_over(films: Any) -> None:
    values = ramp(0, 4000)
    turned = films.pixels(films.make(values, 12, RescaleSlope="-1", RescaleIntercept="4000"))
    assert np.abs(turned - (255 - films.pixels(films.make(values, 12)))).max() <= 1


def test_window_comes_before_inversion(films: Any) -> None:
    """A window off the middle shows the wrong end saturated when the order is wrong."""
    values = ramp(0, 4000)
    tags = {"WindowCenter": "500", "WindowWidth": "1000"}
    plain = films.pixels(films.make(values, 12, **tags))
    inverse = films.pixels(films.make(values, 12, PhotometricInterpretation="MONOCHROME1", **tags))
    assert (inverse == 255 - plain).all()
    assert (inverse.ravel()[2000:] == 0).all()


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_a_picture_is_inverted_once_despite_two_requests(
    films: Any, photometric: str, shape: str, inverted: bool
) -> None:
    values = ramp(0, 255, "u1")
    tags = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    assert (films.pixels(films.make(values, **tags)) == (255 - values if inverted else values)).all()


def table(first: int, bits: int, entries: list[int], kind: str = "US") -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", kind, entries if kind == "US" else np.array(entries, dtype="<u2").tobytes())
    return [item]


@pytest.mark.parametrize("kind", ["US", "OW"])
def test_voi_table_wins_over_the_window(films: Any, kind: str) -> None:
    dataset = films.make(ramp(0, 1023), 10, WindowCenter="1", WindowWidth="2")
    dataset.VOILUTSequence = table(256, 12, [0, *range(7, 4096, 8)], kind)
    shown = films.pixels(dataset).ravel()
    assert (shown[:1500] == 0).all()  # below the first entry
    assert (shown[-1500:] == 255).all()  # above the last one
    assert abs(shown[3200] - 127.5) < 2


def test_voi_table_of_another_depth_than_declared_is_not_black(films: Any) -> None:
    dataset = films.make(ramp(0, 255), 16)
    dataset.VOILUTSequence = table(0, 16, [entry * 16 for entry in range(256)])
    assert films.pixels(dataset).max() == 255


def test_modality_table_comes_before_the_window(films: Any) -> None:
    dataset = films.make(ramp(0, 255), 8 + 4, WindowCenter="500", WindowWidth="201")
    dataset.ModalityLUTSequence = table(0, 16, [4 * entry for entry in range(256)])
    dataset.ModalityLUTSequence[0].ModalityLUTType = "US"
    shown = films.pixels(dataset).ravel()
    assert (shown[ramp(0, 255).ravel() < 99] == 0).all() and (shown[ramp(0, 255).ravel() > 151] == 255).all()
    assert abs(shown[np.flatnonzero(ramp(0, 255).ravel() == 125)[0]] - 127.5) < 3


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_outside_the_range(films: Any, photometric: str) -> None:
    values = ramp(1000, 2000)
    values[:, :10] = 4095
    tags = {"PixelPaddingValue": 4095, "PhotometricInterpretation": photometric}
    shown = films.pixels(films.make(values, 12, **tags))
    assert (shown[:, :10] == 0).all()
    assert shown[:, 10:].max() > 250


def test_padding_range_and_sign(films: Any) -> None:
    values = ramp(-100, 900, "<i2")
    values[:, :10] = np.arange(-2000, -1990)
    shown = films.pixels(films.make(values, 16, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990))
    assert (shown[:, :10] == 0).all() and shown[79, 79] == 255


def test_padding_only_is_unreadable(films: Any) -> None:
    values = np.full((80, 80), 7, dtype="<u2")
    assert films.refusal(films.make(values, 12, PixelPaddingValue=7)) == "unreadable"
