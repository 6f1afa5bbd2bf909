"""Turn the bytes of a picture file into a grey picture, and a grey picture into the network's input."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from model.images import strips
from model.images.limits import Refused, check_size

_PNG = b"\x89PNG\r\n\x1a\n"


_JPEG = b"\xff\xd8\xff"


_TEXT_BYTES = 4_000_000  # of a PNG's texts, unpacked; Pillow would keep 64 MB of them


_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # bytes a pixel in Pillow, 4 in other modes


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `grey` has mode "L"; `width` and `height` are in pixels, turned upright.

    `format` is "PNG", "JPEG" or "DICOM"; `colourful` is the mean spread of the channels, 0 (grey) to 1.
    """

    grey: Image.Image
    format: str
    width: int
    height: int
    colourful: float


def decode(content: bytes) -> Picture:
    """Decode a PNG, JPEG or DICOM file, told apart by content and never by name.

    Raises Refused for everything that is not exactly one whole picture of a fitting size.
    """
    if content.startswith(_PNG):
        return _decode_with_pillow(content, "PNG", _open_png)
    if content.startswith(_JPEG):
        return _decode_with_pillow(content, "JPEG", _open_jpeg)
    from model.images import dicom  # the module is light, pydicom is imported by it only for a DICOM file

    if dicom.recognise(content):
        grey = dicom.decode(content)
        return Picture(grey, "DICOM", grey.width, grey.height, 0.0)
    if not content:
        raise Refused("unreadable", "the file is empty")
    raise Refused("unreadable", "the file is neither PNG nor JPEG nor DICOM")


def to_input(grey: Image.Image, height: int, width: int) -> np.ndarray:
    """The network's input: float32 [height, width, 1] in 0..255.

    The one way from pixels to the model, in training and in serving: pressed to the size whatever the shape
    (the public training pictures come that way), antialiased.
    """
    small = grey.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32)[:, :, np.newaxis]


def _open_png(content: bytes) -> Image.Image:
    from PIL import PngImagePlugin

    PngImagePlugin.MAX_TEXT_MEMORY = _TEXT_BYTES
    return PngImagePlugin.PngImageFile(BytesIO(content))


def _open_jpeg(content: bytes) -> Image.Image:
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile(BytesIO(content))


def _decode_with_pillow(content: bytes, name: str, opener: Callable[[bytes], Image.Image]) -> Picture:
    # The plugin itself, not Image.open: no other format can be reached, no bomb warning is printed for a
    # size that check_size refuses anyway, and four unused plugins are not imported.
    try:
        image = opener(content)
        check_size(*image.size, _per_pixel(image))
        if getattr(image, "n_frames", 1) > 1 or "mp" in image.info:
            raise Refused("multiple_frames", "the file holds more than one picture")
        image.load()
        if name == "JPEG" and _ends_flat(image):
            raise Refused("unreadable", "the JPEG file is damaged: its last rows are missing")
        grey, colourful = strips.to_grey(image)
        note = image.info.get("exif")
        del image  # up to 4 bytes a pixel, before the grey picture is copied to be turned
        grey = _upright(grey, note)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on damaged files
        raise Refused("unreadable", f"the {name} file is damaged or incomplete") from error
    return Picture(grey, name, grey.width, grey.height, colourful)


def _per_pixel(image: Image.Image) -> float:
    """Bytes a pixel that decoding takes at its peak (tests/model/test_memory.py measures them)."""
    stored = _STORED.get(image.mode, 4)
    factors = [(across, down) for _, across, down, _ in getattr(image, "layer", [])]
    if len(factors) < 2 and not image.info.get("progressive"):
        return stored + 1  # and the grey picture
    # libjpeg keeps every coefficient, 2 bytes each, of a JPEG whose picture comes in several passes. One of several
    # channels may, without saying so in its header.
    widest, highest = (max(factor) for factor in zip(*factors, strict=True))
    return stored + max(1.0, 2 * sum(across * down for across, down in factors) / (widest * highest))


def _upright(grey: Image.Image, note: bytes | None) -> Image.Image:
    """The picture turned as the EXIF note demands, which is no longer attached to it."""
    if note is None:
        return grey
    from PIL import ImageOps

    grey.info["exif"] = note
    try:
        return ImageOps.exif_transpose(grey)
    except Exception:  # a damaged note about the picture is no damage to the picture
        return grey


def _ends_flat(image: Image.Image) -> bool:
    """Whether the last stored rows hold one middle grey: what the JPEG decoder silently makes of lost data.

    It repeats the last brightness, so an eighth of the height in exactly one value, neither black nor white
    (both occur as borders of real films), is a lost part and no radiograph.
    """
    tail = image.crop((0, image.height - max(16, image.height // 8), image.width, image.height))
    ranges = [tail.getchannel(band).getextrema() for band in tail.getbands()]
    return all(low == high for low, high in ranges) and 8 <= ranges[0][0] <= 247
