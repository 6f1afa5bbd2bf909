"""Files that are damaged, too large or no single picture are refused with a code."""

import struct
import warnings
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model import phantom
from model.images.decode import decode
from tests.model.images.encoding import encode, refusal


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header declares any size, with next to no pixels behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_half_a_file_is_unreadable(grey: Image.Image, kind: str, share: float) -> None:
    content = encode(grey, kind)
    assert refusal(content[: int(len(content) * share)]) == "unreadable"


@pytest.mark.parametrize("progressive", [False, True])
def test_half_a_jpeg_with_a_proper_end_is_unreadable(grey: Image.Image, progressive: bool) -> None:
    """The decoder fills what is missing with one grey and reports success."""
    content = encode(grey, "JPEG", quality=90, progressive=progressive)
    if progressive:
        start = content.index(b"\xff\xda")
        assert refusal(content[: start + 30] + b"\xff\xd9") == "unreadable"
    else:
        assert refusal(content[: len(content) // 2] + b"\xff\xd9") == "unreadable"


@pytest.mark.parametrize("at", [20, 40, 200, 1000])
def test_png_with_a_flipped_byte_is_unreadable(grey: Image.Image, at: int) -> None:
    content = bytearray(encode(grey))
    content[at] ^= 0xFF
    assert refusal(bytes(content)) in {"unreadable", "too_large", "too_small"}


@pytest.mark.parametrize(("width", "height"), [(63, 200), (200, 63), (1, 1)])
def test_small_pictures_are_refused(width: int, height: int) -> None:
    for kind in ("PNG", "JPEG"):
        assert refusal(encode(Image.new("L", (width, height)), kind)) == "too_small"


@pytest.mark.parametrize("side", [6325, 12_000, 20_000, 2**31 - 1])
def test_pixel_bombs_are_refused_by_their_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would warn from 89 million pixels on and raise from 179 million: neither may show."""
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(png_of_size(side, side)) == "too_large"


def test_jpeg_bomb_is_refused_by_its_header(grey: Image.Image) -> None:
    content = bytearray(encode(grey, "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    assert refusal(bytes(content)) == "too_large"


def test_text_bomb_in_a_png_is_unreadable(grey: Image.Image) -> None:
    info = PngInfo()
    info.add_text("Comment", "a" * 2_000_000, zip=True)
    assert refusal(encode(grey, pnginfo=info)) == "unreadable"


def test_animated_png_is_refused(grey: Image.Image) -> None:
    content = encode(grey, save_all=True, append_images=[phantom.draw(2, 128)])
    assert refusal(content) == "multiple_frames"


def test_multi_picture_jpeg_is_refused(grey: Image.Image) -> None:
    content = encode(grey.convert("RGB"), "MPO", save_all=True, append_images=[phantom.draw(2, 128).convert("RGB")])
    assert content.startswith(b"\xff\xd8\xff")
    assert refusal(content) == "multiple_frames"


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "I;16"])
def test_a_png_is_checked_to_its_end(grey: Image.Image, mode: str) -> None:
    """Pillow reads as far as the last pixel, even if the rest of the data, its checksum or the end is missing."""
    image = grey.convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else grey.convert(mode)
    whole = encode(image)
    assert decode(whole + b"more").width == 128
    end = whole.index(b"IEND") - 4
    changed = [whole[:end], whole[: end + 8], whole[: end - 4] + bytes(4) + whole[end:], whole[:-4] + bytes(4)]
    changed += [whole[: end - kept] + bytes(kept) for kept in range(1, 12)]
    assert [refusal(content) for content in changed] == ["unreadable"] * len(changed)


def test_a_memory_error_is_not_reported_as_a_bad_picture(grey: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", exhausted)
    with pytest.raises(MemoryError):
        decode(encode(grey))
