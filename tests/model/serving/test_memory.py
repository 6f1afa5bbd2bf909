"""Measured memory of decoding: no file needs more than its limit; larger ones are refused before decoding."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.images import grey16, limits
from model.images.decode import decode
from model.images.dicom_values import COMPRESSED, UNCOMPRESSED
from model.images.limits import Refused

ROOT = Path(__file__).parents[3]
SIDE = 3000
SLACK = 6_000_000  # what the interpreter and the allocator take besides
# The peak of the process' own resident memory, not getrusage: that one begins with the memory of whoever started it.
# Each pair of files has a process of its own, forked from one that has imported what all need.
SCRIPT = """
import os, sys
from pathlib import Path
import imagecodecs, numpy, pydicom, simplejpeg
from model.images.decode import decode

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def measure(small, large, wide):
    decode(small, wide)  # so that no library is loaded while memory is measured
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew
    before = resident("VmRSS")
    decode(large, wide)
    print(resident("VmHWM") - before, flush=True)

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            *paths, wide = line.rstrip().split(chr(9))
            measure(*(Path(path).read_bytes() for path in paths), wide == "True")
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:  # it was killed, and has printed nothing
        print("the child ended with wait status", status, flush=True)
"""


@pytest.fixture(scope="module")
def decoder() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process


Growth = Callable[..., int]


@pytest.fixture
def growth(decoder: "subprocess.Popen[str]", tmp_path: Path) -> Growth:
    """Bytes that decoding `large`, with the values of a `wide` film or without, adds after `small`."""

    def measured(small: bytes, large: bytes, wide: bool = False) -> int:
        paths = [tmp_path / "small", tmp_path / "large"]
        for path, content in zip(paths, (small, large), strict=True):
            path.write_bytes(content)
        assert decoder.stdin and decoder.stdout
        print(*paths, wide, sep="\t", file=decoder.stdin, flush=True)
        return int(decoder.stdout.readline())

    return measured


def encoded(mode: str, side: int, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.new(mode, (side, side)).save(file, kind, **options)
    return file.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.mark.parametrize(
    ("mode", "kind", "options", "most"),
    [
        ("1", "PNG", {}, 2),
        ("L", "PNG", {}, 2),
        ("L", "PNG", {"transparency": 7}, 2),
        ("P", "PNG", {}, 2),
        ("P", "PNG", {"transparency": 7}, 2),
        ("I;16", "PNG", {}, 3),
        ("LA", "PNG", {}, 5),
        ("RGB", "PNG", {}, 5),
        ("RGB", "PNG", {"transparency": (1, 2, 3)}, 5),
        ("RGBA", "PNG", {}, 5),
        ("L", "JPEG", {"exif": TURNED}, 2),
        ("L", "JPEG", {"progressive": True}, 3),
        ("RGB", "JPEG", {}, 5),
        ("RGB", "JPEG", {"exif": TURNED}, 5),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 10),
        ("CMYK", "JPEG", {"progressive": True}, 12),
    ],
)
def test_bytes_a_pixel(mode: str, kind: str, options: dict[str, Any], most: float, growth: Growth) -> None:
    """A copy of a whole picture more, at 1 to 4 bytes a pixel, fails each of these."""
    small, large = (encoded(mode, side, kind, **options) for side in (100, SIDE))
    assert growth(small, large) <= most * SIDE**2 + SLACK


@pytest.mark.parametrize(
    ("kind", "tags", "most"),
    [
        ("u1", {}, 2),
        ("<u2", {}, 3),
        ("<i2", {}, 3),
        ("<u2", {"PixelPaddingValue": 9}, 3),
        ("<u2", {"BitsStored": 12, "HighBit": 11}, UNCOMPRESSED),
    ],
)
def test_bytes_a_pixel_of_dicom(films: Any, kind: str, tags: dict[str, Any], most: float, growth: Growth) -> None:
    small, large = (films.content(films.make(np.zeros((side, side), kind), **tags)) for side in (100, SIDE))
    assert growth(small, large) <= most * SIDE**2 + SLACK


@pytest.mark.parametrize("kind", ["<u2", "<i2", "PNG"])
def test_bytes_a_pixel_of_a_film_whose_values_are_kept(films: Any, kind: str, growth: Growth) -> None:
    """The limit of memory holds for them, too: the largest picture may take WORKING_BYTES."""
    contents = [
        encoded("I;16", side, kind) if kind == "PNG" else films.content(films.make(np.zeros((side, side), kind), 12))
        for side in (100, SIDE)
    ]
    film = 2 * grey16.MAX_SIDE**2  # does not grow with the picture: of 40 million pixels, all takes 193 MB
    assert growth(*contents, wide=True) <= limits.WORKING_BYTES / limits.MAX_PIXELS * SIDE**2 + film + SLACK


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"])
def test_bytes_a_pixel_of_packed_dicom(films: Any, syntax: str, growth: Growth) -> None:
    """The memory of third-party decoders is within the limit for their files."""
    contents = []
    for side in (100, SIDE):
        dataset = films.make(np.zeros((side, side), "<u2"), 12)
        if syntax.endswith(".5"):
            dataset.compress(syntax, encoding_plugin="pydicom")
        else:
            pack(dataset, syntax)
        contents.append(films.content(dataset))
    assert growth(*contents) <= COMPRESSED * SIDE**2 + SLACK


def pack(dataset: Any, syntax: str) -> None:
    """Compress a black film of 16 bits as JPEG 2000 or lossless JPEG, in place."""
    import imagecodecs
    from pydicom.encaps import encapsulate

    black = np.zeros((dataset.Rows, dataset.Columns), np.uint16)
    file = BytesIO()
    if syntax.endswith(".70"):
        file.write(imagecodecs.jpeg8_encode(black, lossless=True, predictor=1, bitspersample=16))
    else:
        Image.fromarray(black).save(file, "JPEG2000", no_jp2=True, irreversible=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.BitsStored, dataset.HighBit = 16, 15
    dataset.PixelData = encapsulate([file.getvalue()])


def test_a_picture_over_the_memory_limit_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progressive JPEG keeps all of its coefficients: 2 bytes for each sample besides the picture."""
    heavy = encoded("CMYK", 4400, "JPEG", progressive=True)
    light = encoded("L", 4400, "JPEG", progressive=True)
    assert decode(light).width == 4400
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(Refused, match="million") as caught:
        decode(heavy)
    assert caught.value.code == "too_large"


def test_the_largest_detectors_fit_in_every_kind() -> None:
    for per_pixel in (2, 3, 5, 10, 11):
        limits.check_size(4400, 4400, per_pixel)


def test_limit_is_on_pixels_and_on_memory() -> None:
    limits.check_size(limits.MAX_PIXELS // 100, 100, 5)
    for per_pixel in (1, 5, 5.6):
        with pytest.raises(Refused):
            limits.check_size(limits.MAX_PIXELS // 100 + (per_pixel < 5.5), 100, per_pixel)
    with pytest.raises(Refused):
        limits.check_size(5000, 5000, 11)


def test_compressed_texts_of_a_png_count_towards_the_limit() -> None:
    """Each text may be short and small when packed: together they are not kept beyond a few MB."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for number in range(20):
        info.add_text(f"Comment {number}", "a" * 900_000, zip=True)
    with pytest.raises(Refused) as caught:
        decode(encoded("L", 100, "PNG", pnginfo=info))
    assert caught.value.code == "unreadable"
