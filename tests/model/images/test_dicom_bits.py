"""Only Bits Stored bits up to High Bit are the value, in every codec; numbers are read by the sign of the pixels."""

from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from tests.model.images.run_lengths import run_lengths

CODERS: dict[str, Any] = {
    "1": lambda words: words.tobytes(),
    "4.70": lambda words: encapsulate([imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=16)]),
    "4.80": lambda words: encapsulate([imagecodecs.jpegls_encode(words)]),
    "4.90": lambda words: encapsulate([imagecodecs.jpeg2k_encode(words, codecformat="j2k", reversible=True)]),
    "5": lambda words: encapsulate([run_lengths(words)]),
}
WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096"}


def coded(films: Any, syntax: str, words: np.ndarray, stored: int, **tags: Any) -> Dataset:
    """A film with these words, uint16 [rows, columns], in a transfer syntax."""
    dataset: Dataset = films.make(words, stored, **tags)
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{'1' if syntax == '1' else syntax}"
    dataset.PixelData = CODERS[syntax](words)
    return dataset


def twelve(film: np.ndarray) -> np.ndarray:
    return film.astype(np.uint16) * 16


def overlay(dataset: Dataset, position: int = 12) -> Dataset:
    """Declare an overlay that is embedded in the unused bits."""
    dataset.add_new((0x6000, 0x0100), "US", dataset.BitsAllocated)
    dataset.add_new((0x6000, 0x0102), "US", position)
    return dataset


@pytest.mark.parametrize("syntax", CODERS)
def test_an_embedded_overlay_is_no_part_of_the_picture(films: Any, film: np.ndarray, syntax: str) -> None:
    words = twelve(film)
    marked = words.copy()
    marked[20:40, 20:60] |= 0x3000
    assert (
        films.pixels(overlay(coded(films, syntax, marked, 12, **WINDOW)))
        == films.pixels(coded(films, syntax, words, 12, **WINDOW))
    ).all()


@pytest.mark.parametrize("syntax", CODERS)
def test_values_with_more_bits_than_declared_are_refused(films: Any, film: np.ndarray, syntax: str) -> None:
    assert films.refusal(coded(films, syntax, twelve(film), 11)) == "unreadable"


@pytest.mark.parametrize("syntax", CODERS)
@pytest.mark.parametrize("extended", [True, False])
def test_the_sign_is_the_highest_stored_bit(films: Any, film: np.ndarray, syntax: str, extended: bool) -> None:
    """Signed values of 12 bits, with and without the sign in the unused bits."""
    signed = twelve(film).astype(np.int16) - 2048
    words = signed.view(np.uint16) if extended else signed.view(np.uint16) & 0x0FFF
    shown = films.pixels(coded(films, syntax, words, 12, PixelRepresentation=1))
    assert np.abs(shown - film).max() <= 1


def test_values_may_be_stored_in_the_high_bits(films: Any, film: np.ndarray) -> None:
    shown = films.pixels(films.make(twelve(film) << 4, 12, HighBit=15))
    assert np.abs(shown - film).max() <= 1


@pytest.mark.parametrize(("representation", "vr", "number"), [(1, "US", 63536), (1, "SS", -2000), (0, "SS", -1)])
def test_padding_is_read_by_the_sign_of_the_pixels(
    films: Any, film: np.ndarray, representation: int, vr: str, number: int
) -> None:
    words = twelve(film).astype(np.int16) - (2048 if representation else 0)
    words[:10] = np.uint16(number % 65536).astype(np.int16)
    dataset = films.make(words.view(np.uint16), 16, PixelRepresentation=representation)
    dataset.add_new("PixelPaddingValue", vr, number)
    shown = films.pixels(dataset)
    assert (shown[:10] == 0).all() and np.abs(shown[10:] - film[10:]).max() <= 16


def test_padding_may_have_more_bits_than_the_values(films: Any, film: np.ndarray) -> None:
    words = twelve(film)
    words[:10] = 65535
    shown = films.pixels(films.make(words, 12, PixelPaddingValue=65535))
    assert (shown[:10] == 0).all() and np.abs(shown[10:] - film[10:]).max() <= 16


def table(count: int, first: int, bits: int, data: Any, vr: str = "OW", first_vr: str = "US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", first_vr, [count, first, bits])
    item.add_new("LUTData", vr, data)
    return item


def words_of(entries: np.ndarray) -> bytes:
    content: bytes = entries.astype("<u2").tobytes()
    return content


TABLES = {
    "16 bits": (lambda: table(4096, 0, 16, words_of(np.arange(4096) * 16))),
    "12 bits": (lambda: table(4096, 0, 12, words_of(np.arange(4096)))),
    "8 bits in words": (lambda: table(4096, 0, 8, words_of(np.arange(4096) >> 4))),
    "8 bits packed": (lambda: table(4096, 0, 8, (np.arange(4096) >> 4).astype(np.uint8).tobytes())),
    "as numbers": (lambda: table(4096, 0, 16, (np.arange(4096) * 16).tolist(), "US")),
}


@pytest.mark.parametrize("kind", TABLES)
def test_voi_tables_of_every_depth(films: Any, film: np.ndarray, kind: str) -> None:
    shown = films.pixels(films.make(twelve(film), 12, VOILUTSequence=[TABLES[kind]()]))
    assert np.abs(shown - film).max() <= 1


@pytest.mark.parametrize("kind", ["16 bits", "12 bits"])
def test_modality_tables_of_every_depth(films: Any, film: np.ndarray, kind: str) -> None:
    item = TABLES[kind]()
    item.ModalityLUTType = "US"
    shown = films.pixels(films.make(twelve(film), 12, ModalityLUTSequence=[item]))
    assert np.abs(shown - film).max() <= 1


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_for_signed_values_may_be_described_by_unsigned_numbers(
    films: Any, film: np.ndarray, sequence: str
) -> None:
    signed = (twelve(film).astype(np.int32) - 2048).astype(np.int16)
    item = table(4096, 65536 - 2048, 16, words_of(np.arange(4096) * 16))
    item.ModalityLUTType = "US"
    assert np.abs(films.pixels(films.make(signed, 16, **{sequence: [item]})) - film).max() <= 1


def test_a_table_with_too_few_entries_is_unreadable(films: Any, film: np.ndarray) -> None:
    short = table(4096, 0, 16, words_of(np.arange(2048)))
    assert films.refusal(films.make(twelve(film), 12, VOILUTSequence=[short])) == "unreadable"


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_several_samples_a_pixel_are_no_film(films: Any, film: np.ndarray, samples: int, photometric: str) -> None:
    dataset = films.make(film, SamplesPerPixel=samples, PlanarConfiguration=0, PhotometricInterpretation=photometric)
    dataset.PixelData = dataset.PixelData * samples
    assert films.refusal(dataset) == "not_an_xray"
