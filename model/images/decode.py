"""Decode a picture file to a grey picture, and convert a grey picture to the input of the network."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image

from model.images import dicom, grey16, jpeg_stream, png_stream, strips
from model.images.dicom_header import Stated
from model.images.grey16 import Grey16
from model.images.limits import Refused, check_size

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TEXT_BYTES = 4_000_000  # of uncompressed text in a PNG; the default of Pillow is 64 MB
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # bytes per pixel in Pillow; 4 in other modes


NOTHING_STATED = Stated()


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `grey` has mode "L"; `width` and `height` are in pixels, after the EXIF rotation.

    `format` is "PNG", "JPEG" or "DICOM"; `colourful` is the mean spread of the channels, from 0 (grey) to 1.
    `stated` is what the header of a DICOM file says; other files say nothing. `wide`: the values of a film of more than
    8 bits, if they were asked for.
    """

    grey: Image.Image
    format: str
    width: int
    height: int
    colourful: float
    stated: Stated = NOTHING_STATED
    wide: Grey16 | None = None


def decode(content: bytes, wide: bool = False) -> Picture:
    """Decode a PNG, JPEG or DICOM file; the format is detected by content, never by name.

    wide: give the values of a film of more than 8 bits, too. Raises Refused for anything but one complete picture
    within the size limits.
    """
    if content.startswith(_PNG):
        return _decode_with_pillow(content, "PNG", _open_png, _load_png, wide)
    if content.startswith(_JPEG):
        return _decode_with_pillow(content, "JPEG", _open_jpeg, _load_jpeg)
    if dicom.is_dicom(content):
        grey, stated, film = dicom.decode(content, wide)
        return Picture(grey, "DICOM", grey.width, grey.height, 0.0, stated, film)
    if not content:
        raise Refused("unreadable", "the file is empty")
    raise Refused("unreadable", "the file is not a PNG, JPEG or DICOM file")


def to_input(grey: Image.Image, height: int, width: int) -> np.ndarray:
    """The input of the network: float32 [height, width, 1] in 0..255.

    Training and serving both use this function. It resizes with antialiasing and ignores the aspect ratio.
    """
    return as_input(resize(grey, height, width))


def resize(grey: Image.Image, height: int, width: int) -> Image.Image:
    """The picture in the size of a network's input."""
    return grey.resize((width, height), Image.Resampling.BILINEAR)


def as_input(resized: Image.Image) -> np.ndarray:
    """A resized picture as `to_input` returns it."""
    return np.asarray(resized, dtype=np.float32)[:, :, np.newaxis]


def _open_png(content: bytes) -> Image.Image:
    from PIL import PngImagePlugin

    PngImagePlugin.MAX_TEXT_MEMORY = _TEXT_BYTES
    return PngImagePlugin.PngImageFile(BytesIO(content))


def _open_jpeg(content: bytes) -> Image.Image:
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile(BytesIO(content))


def _load_png(content: bytes, image: Image.Image) -> Image.Image:
    png_stream.check_chunks(content)
    image.load()
    return image


def _load_jpeg(content: bytes, image: Image.Image) -> Image.Image:
    if image.mode == "L":
        image = Image.fromarray(jpeg_stream.grey_pixels(content))
    else:
        jpeg_stream.check_entropy(content)
        image.load()
    if _ends_flat(image):
        raise Refused("unreadable", "the JPEG file is damaged: its last rows are missing")
    return image


def _decode_with_pillow(
    content: bytes,
    name: str,
    opener: Callable[[bytes], Image.Image],
    load: Callable[[bytes, Image.Image], Image.Image],
    wide: bool = False,
) -> Picture:
    # The plugin instead of Image.open: it can open no other format, prints no decompression bomb warning for a size
    # that check_size refuses anyway, and does not import four unused plugins.
    warnings.filterwarnings("ignore", module=r"(PIL|model\.images)\b")  # for each file: filters may have been reset
    try:
        image = opener(content)
        check_size(*image.size, _bytes_per_pixel(image))
        if getattr(image, "n_frames", 1) > 1 or "mp" in image.info:
            raise Refused("multiple_frames", "the file contains more than one picture")
        loaded = load(content, image)
        grey, colourful = strips.to_grey(loaded)
        exif = image.info.get("exif")  # that of a PNG may come after the pixels
        film = grey16.of_png(loaded) if wide else None
        del loaded
        del image  # frees up to 4 bytes per pixel before the rotation copies the grey picture
        grey = _rotate(grey, exif)
        film = film and replace(film, grey=_rotate(film.grey, exif))
    except (Refused, MemoryError, ImportError):  # a missing library is not the fault of the file
        raise
    except Exception as error:  # decoders raise anything on damaged files
        raise Refused("unreadable", f"the {name} file is damaged or incomplete") from error
    return Picture(grey, name, grey.width, grey.height, colourful, wide=film)


def _bytes_per_pixel(image: Image.Image) -> float:
    """The peak memory of decoding in bytes per pixel (measured by tests/model/serving/test_memory.py)."""
    stored = _STORED.get(image.mode, 4)
    factors = [(across, down) for _, across, down, _ in getattr(image, "layer", [])]
    if len(factors) < 2 and not image.info.get("progressive"):
        return stored + 1  # and the grey picture
    # libjpeg stores all coefficients, 2 bytes each, of a JPEG with several scans. A JPEG with several channels may have
    # several scans without declaring it in its header.
    widest, highest = (max(factor) for factor in zip(*factors, strict=True))
    return stored + max(1.0, 2 * sum(across * down for across, down in factors) / (widest * highest))


def _rotate(grey: Image.Image, exif: bytes | None) -> Image.Image:
    """The picture rotated as its EXIF data says, without the EXIF data."""
    if exif is None:
        return grey
    from PIL import ImageOps

    grey.info["exif"] = exif
    try:
        return ImageOps.exif_transpose(grey)
    except Exception:  # damaged EXIF data does not damage the picture
        return grey


def _ends_flat(image: Image.Image) -> bool:
    """Whether the last rows have a single grey value, as in a damaged JPEG that was decoded and saved again.

    Decoders fill missing data with the last brightness. An eighth of the height with exactly one value that is neither
    black nor white (both occur as borders of real films) is therefore missing data.
    """
    tail = image.crop((0, image.height - max(16, image.height // 8), image.width, image.height))
    ranges = [tail.getchannel(band).getextrema() for band in tail.getbands()]
    return all(low == high for low, high in ranges) and 8 <= ranges[0][0] <= 247
