"""Files with random damage: every one is decoded or refused, nothing else is raised, and nothing is printed.

PNEUMO_FUZZ: the number of files. PNEUMO_FUZZ_SEED: of the first of them; a failure names its own.
"""

import os
import random
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from model import phantom
from model.images.decode import decode
from model.images.limits import Refused
from tests.model.images.run_lengths import run_lengths

FILES = int(os.environ.get("PNEUMO_FUZZ") or 3000)
FIRST = int(os.environ.get("PNEUMO_FUZZ_SEED") or 0)
SIDE = 96


def corpus(films: Any) -> list[bytes]:
    """A small whole file of each format and codec."""
    eight = np.asarray(phantom.draw(5, SIDE))
    twelve = eight.astype(np.uint16) * 16
    streams = {
        "4.50": imagecodecs.jpeg8_encode(eight, level=90),
        "4.51": imagecodecs.jpeg8_encode(twelve, level=90, bitspersample=12),
        "4.70": imagecodecs.jpeg8_encode(twelve, lossless=True, predictor=1, bitspersample=12),
        "4.80": imagecodecs.jpegls_encode(twelve),
        "4.90": imagecodecs.jpeg2k_encode(twelve, codecformat="j2k", reversible=True),
        "5": run_lengths(twelve),
    }
    files = [films.content(films.make(eight)), films.content(films.make(twelve, 12))]
    for syntax, stream in streams.items():
        dataset = films.make(eight if syntax == "4.50" else twelve, 8 if syntax == "4.50" else 12)
        dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
        dataset.PixelData = encapsulate([stream])
        files.append(films.content(dataset))
    for name, options in (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True})):
        file = BytesIO()
        Image.fromarray(eight).save(file, name, **options)
        files.append(file.getvalue())
    return files


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The file with one to three faults of storage or transfer."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed))
        length = min(rng.choice([1, 2, 8, 64, 512]), len(changed) - at)
        match rng.randrange(5):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + length] = bytes(length)
            case 2:
                changed[at : at + length] = rng.randbytes(length)
            case 3:
                del changed[at : at + length]
            case _:
                changed[at:at] = changed[at : at + length]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


@pytest.mark.repeat
def test_a_damaged_file_is_decoded_or_refused(films: Any, capfd: pytest.CaptureFixture[str]) -> None:
    files = corpus(films)
    for seed in range(FIRST, FIRST + FILES):
        rng = random.Random(seed)
        content = damaged(rng.choice(files), rng)
        try:
            assert decode(content).grey.mode == "L", f"seed {seed}"
        except Refused:
            continue
        except BaseException as error:
            raise AssertionError(f"PNEUMO_FUZZ_SEED={seed}: {error!r}") from error
    assert capfd.readouterr() == ("", "")
