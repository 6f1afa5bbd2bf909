"""A block of zeros that storage left in a JPEG 2000 stream is refused; marks of packets are not."""

import re
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate

from model.images import jpeg2000_stream
from model.images.limits import Refused
from tests.model.images.noisy_films import noisy_film, saved

WAVELETS: dict[str, dict[str, Any]] = {
    "one tile": {},
    "tiles": {"tile_size": (128, 128)},
    "precincts": {"precinct_size": (128, 128)},
    "layers": {"irreversible": True, "quality_layers": [40, 10, 4]},
}


def in_dicom(films: Any, film: np.ndarray, stream: bytes) -> bytes:
    dataset = films.make(film)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    dataset.PixelData = encapsulate([stream])
    content: bytes = films.content(dataset)
    return content


def lost(stream: bytes, share: float, block: bytes) -> bytes:
    start = stream.index(b"\xff\x93")
    at = start + int((len(stream) - start) * share)
    return stream[:at] + block + stream[at + len(block) :]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("options", WAVELETS.values(), ids=WAVELETS)
def test_a_jpeg_2000_stream_that_lost_a_block_is_refused(
    films: Any, bordered_film: np.ndarray, options: dict[str, Any], share: float
) -> None:
    """The decoder makes a picture of any bytes."""
    stream = saved(bordered_film, "JPEG2000", no_jp2=True, **options)
    assert films.pixels(in_dicom(films, bordered_film, stream)).shape == bordered_film.shape
    for block in (bytes(4096), b"\xff\xd9", b"\xff\xff"):
        damaged = in_dicom(films, bordered_film, lost(stream, share, block))
        assert films.refusal(damaged) == "unreadable"


@pytest.mark.parametrize(("side", "length"), [(224, 32), (1000, 64)])
def test_a_jpeg_2000_stream_that_lost_a_small_block_is_refused(films: Any, side: int, length: int) -> None:
    film = noisy_film(side)
    stream = imagecodecs.jpeg2k_encode(film, codecformat="j2k", reversible=True)
    assert films.pixels(in_dicom(films, film, stream)).shape == film.shape
    for share in (0.2, 0.4, 0.6, 0.8, 0.95):
        assert films.refusal(in_dicom(films, film, lost(stream, share, bytes(length)))) == "unreadable"


def test_a_jpeg_2000_header_asks_for_no_memory(films: Any) -> None:
    """Its numbers are not checked before: far corners, and empty packets in any number."""
    film = noisy_film(128)
    stream = saved(film, "JPEG2000", no_jp2=True)
    far = b"".join(number.to_bytes(4, "big") for number in (2**32 - 1,) * 2 + (2**32 - 129,) * 2 + (2**32 - 1,) * 2)
    style = stream.index(b"\xff\x52")
    content = stream[style + 4 : stream.index(b"\xff", style + 2)]
    packets = bytes([content[0] | 1, content[1], 0xFF, 0xFF, *content[4:], *bytes(content[5] + 1)])
    segment = b"\xff\x52" + (len(packets) + 2).to_bytes(2, "big") + packets
    for damaged in (
        stream[:8] + far + stream[32:],
        stream[:style] + segment + stream[style + 4 + len(content) :],
    ):
        assert films.refusal(in_dicom(films, film, damaged)) == "unreadable"


def test_marks_of_packets_are_no_damage(films: Any, bordered_film: np.ndarray) -> None:
    """A header that declares them (SOP and EPH), and a mark in the data; undeclared they are refused."""
    stream = saved(bordered_film, "JPEG2000", no_jp2=True)
    style = stream.index(b"\xff\x52") + 4
    start = stream.index(b"\xff\x93") + 2
    for bit, mark in ((2, b"\xff\x91\x00\x04\x00\x00"), (4, b"\xff\x92")):
        declared = stream[:style] + bytes([stream[style] | bit]) + stream[style + 1 :]
        for header, is_allowed in ((declared, True), (stream, False)):
            marked = header[:start] + mark + header[start:]
            marked = re.sub(rb"(\xff\x90\x00\x0a..)....", lambda found: found[1] + bytes(4), marked, count=1)
            assert _is_accepted(marked) == is_allowed


def _is_accepted(stream: bytes) -> bool:
    try:
        jpeg2000_stream.check_tiles(stream)
    except Refused:
        return False
    return True
