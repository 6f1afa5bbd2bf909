"""For generated headers and pixels, the picture is that of another decoder (GDCM) and the standard's formulas."""

import random
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

SIDES = (64, 97, 130)
ENCODED: dict[str, Any] = {
    "4.57": lambda words, bits: imagecodecs.jpeg8_encode(words, lossless=True, predictor=7, bitspersample=bits),
    "4.70": lambda words, bits: imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=bits),
    "4.80": lambda words, bits: imagecodecs.jpegls_encode(words),
    "4.90": lambda words, bits: imagecodecs.jpeg2k_encode(words, codecformat="j2k", reversible=True),
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
    if rng.random() < 0.7 and not signed:
        syntax = rng.choice(list(ENCODED))
        dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
        dataset.PixelData = encapsulate([ENCODED[syntax](words, bits)])
    return dataset


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
    compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    values = pixel_array(dataset, raw=True, **({"decoding_plugin": "gdcm"} if compressed else {}))
    assert np.abs(films.pixels(content) - by_the_standard(dataset, values.astype(np.float64))).max() <= 1
