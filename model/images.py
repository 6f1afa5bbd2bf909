"""Turn the bytes of a picture file into a grey picture, and a grey picture into the network's input."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

MAX_PIXELS = 64_000_000  # the largest detector films have about 20 million
MIN_SIDE = 64  # below this no finding can be seen, by a person or by a network
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_DEPTHS = (8, 10, 12, 14, 15, 16)  # bits that detectors use
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"}


class Refused(Exception):
    """A picture that must not be scored: a `code` for programs, a `reason` for people.

    Codes: unreadable, too_small, too_large, multiple_frames, not_an_xray, not_a_chest.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


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
    from model import dicom  # the module is light, pydicom is imported by it only for a DICOM file

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


def check_size(width: int, height: int) -> None:
    """Refuse a picture by its declared size, before any pixel of it is decoded."""
    if width * height > MAX_PIXELS:
        raise Refused("too_large", f"{width} x {height} pixels; at most {MAX_PIXELS // 1_000_000} million are read")
    if min(width, height) < MIN_SIDE:
        raise Refused("too_small", f"{width} x {height} pixels; each side needs at least {MIN_SIDE}")


def _open_png(content: bytes) -> Image.Image:
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(BytesIO(content))


def _open_jpeg(content: bytes) -> Image.Image:
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile(BytesIO(content))


def _decode_with_pillow(content: bytes, name: str, opener: Callable[[bytes], Image.Image]) -> Picture:
    # The plugin itself, not Image.open: no other format can be reached, no bomb warning is printed for a
    # size that check_size refuses anyway, and four unused plugins are not imported.
    try:
        image = opener(content)
        check_size(*image.size)
        if getattr(image, "n_frames", 1) > 1 or "mp" in image.info:
            raise Refused("multiple_frames", "the file holds more than one picture")
        image.load()
        if name == "JPEG" and _ends_flat(image):
            raise Refused("unreadable", "the JPEG file is damaged: its last rows are missing")
        image = _upright(image)
        grey, colourful = _to_grey(image)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on damaged files
        raise Refused("unreadable", f"the {name} file is damaged or incomplete") from error
    return Picture(grey, name, grey.width, grey.height, colourful)


def _upright(image: Image.Image) -> Image.Image:
    if "exif" not in image.info:
        return image
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged note about the picture is no damage to the picture
        return image


def _to_grey(image: Image.Image) -> tuple[Image.Image, float]:
    if image.mode.startswith("I"):
        return scale_depth(np.asarray(image)), 0.0
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        image = image.convert("RGBA")  # what is transparent becomes black, as the air beside a body
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode in _GREY_MODES:
        return image.convert("L"), 0.0
    image = image.convert("RGB")
    return image.convert("L"), _colourful(image)


def _colourful(image: Image.Image) -> float:
    """Mean over a small copy of (largest - smallest channel) / 255."""
    small = np.asarray(image.resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    return float((small.max(axis=2) - small.min(axis=2)).mean() / 255)


def scale_depth(values: np.ndarray) -> Image.Image:
    """Scale unsigned values [H, W] of up to 16 bits to 8 bits, mode "L".

    Full scale is that of the smallest detector depth that holds the values: 12 bits saved in a 16-bit PNG are
    common, and would otherwise come out black.
    """
    highest = int(values.max())
    bits = next((bits for bits in _DEPTHS if highest < 2**bits), math.ceil(math.log2(highest + 1)))
    scaled = values.astype(np.float32) * np.float32(255 / (2**bits - 1))
    return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))


def _ends_flat(image: Image.Image) -> bool:
    """Whether the last stored rows hold one middle grey: what the JPEG decoder silently makes of lost data.

    It repeats the last brightness, so an eighth of the height in exactly one value, neither black nor white
    (both occur as borders of real films), is a lost part and no radiograph.
    """
    tail = image.crop((0, image.height - max(16, image.height // 8), image.width, image.height))
    ranges = [tail.getchannel(band).getextrema() for band in tail.getbands()]
    return all(low == high for low, high in ranges) and 8 <= ranges[0][0] <= 247
