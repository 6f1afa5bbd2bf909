"""For generated headers and pixels, the picture is that of another decoder (GDCM) and the standard's formulas."""

import random
from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from tests.model.images.run_lengths import run_lengths

SIDES = (64, 97, 130)


def bare(values: np.ndarray, bits: int) -> np.ndarray:
    """The stored bits alone, without a sign: what codecs that know none are given."""
    words: np.ndarray = values.view(f"u{values.itemsize}") & np.asarray((1 << bits) - 1, f"u{values.itemsize}")
    return words


def lossless(values: np.ndarray, bits: int, predictor: int) -> bytes:
    stream: bytes = imagecodecs.jpeg8_encode(bare(values, bits), lossless=True, predictor=predictor, bitspersample=bits)
    return stream


ENCODED: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "4.57": lambda values, bits: lossless(values, bits, 7),
    "4.70": lambda values, bits: lossless(values, bits, 1),
    "4.80": lambda values, bits: imagecodecs.jpegls_encode(bare(values, bits)),
    "4.90": lambda values, bits: imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", reversible=True, bitspersample=bits
    ),
    "5": lambda values, bits: run_lengths(values.view(f"u{values.itemsize}")),
}


def generated(films: Any, rng: random.Random) -> Dataset:
    """A film with a random depth, sign, polarity, rescaling, window and compression."""
    bits, signed = rng.choice([8, 10, 12, 14, 16]), rng.random() < 0.3
    shape = rng.choice(SIDES), rng.choice(SIDES)
    noise = np.random.default_rng(rng.randrange(1 << 32)).integers(0, 1 << bits, shape)
    smooth = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) * ((1 << bits) - 1) // sum(shape)
    values = np.where(rng.random() < 0.5, smooth, (smooth * 7 + noise) // 8) - ((1 << (bits - 1)) if signed else 0)
    values[0, 0] = max(int(values[0, 0]), 1)  # not zero to its end
    words = values.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    dataset: Dataset = films.make(words, bits, PhotometricInterpretation=rng.choice(["MONOCHROME1", "MONOCHROME2"]))
    if rng.random() < 0.5:
        dataset.RescaleSlope, dataset.RescaleIntercept = rng.choice(["1", "2", "0.5"]), rng.choice(["0", "-1024", "7"])
    dataset.WindowCenter = str(rng.randrange(-(1 << bits), 1 << bits))
    dataset.WindowWidth = str(rng.randrange(2, 2 << bits))
    if rng.random() < 0.6:
        dataset.VOILUTFunction = rng.choice(["LINEAR", "LINEAR_EXACT", "SIGMOID"])
    if rng.random() < 0.7:
        syntax = rng.choice(list(ENCODED))
        dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
        dataset.PixelData = encapsulate([ENCODED[syntax](words, bits)])
    return dataset


def stored(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    """The stored bits of what was decoded (PS3.5 8.1.1): a stream of 16 bits may leave the sign of 12 to its reader."""
    limit = 1 << dataset.BitsStored
    numbers = values.astype(np.int64) % limit
    return numbers - limit * (numbers >= limit // 2) if dataset.PixelRepresentation else numbers


def by_the_standard(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    """Brightness 0..255 of stored values (PS3.3 C.11.1.1.2, C.11.2.1.2 and C.7.6.3.1.2), each value by itself."""
    x = values * float(dataset.get("RescaleSlope") or 1) + float(dataset.get("RescaleIntercept") or 0)
    centre, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    kind = dataset.get("VOILUTFunction") or "LINEAR"
    if kind == "SIGMOID":
        bright = 255 / (1 + np.exp(np.clip(-4 * (x - centre) / width, -500, 500)))
    elif kind == "LINEAR":
        middle, reach = centre - 0.5, (width - 1) / 2
        bright = np.where(
            x <= middle - reach,
            0.0,
            np.where(x > middle + reach, 255.0, ((x - middle) / max(width - 1, 1e-6) + 0.5) * 255),
        )
    else:
        bright = np.clip(((x - centre) / width + 0.5) * 255, 0, 255)
    return 255 - bright if dataset.PhotometricInterpretation == "MONOCHROME1" else bright


@pytest.mark.parametrize("seed", range(60))
def test_a_generated_film_is_shown_as_the_standard_says(films: Any, seed: int) -> None:
    content = films.content(generated(films, random.Random(seed)))
    dataset = dcmread(BytesIO(content))
    # pydicom gives GDCM no run lengths, and decodes those, and plain values, itself.
    gdcm = any(dataset.file_meta.TransferSyntaxUID.endswith(f".{syntax}") for syntax in ENCODED if syntax != "5")
    values = pixel_array(dataset, raw=True, **({"decoding_plugin": "gdcm"} if gdcm else {}))
    assert np.abs(films.pixels(content) - by_the_standard(dataset, stored(dataset, values))).max() <= 1
