"""What a picture may be before it is decoded, and the error that refuses one."""

MAX_PIXELS = 40_000_000  # the largest detectors have 18.5 million (about 4300 x 4300), twice that is a scanned film


# Most bytes that decoding may take besides the file itself: 5 a pixel suffice for all PNG files of MAX_PIXELS, and
# what takes more a pixel (progressive colour JPEG, packed DICOM) is limited to fewer pixels, 20 million of 11 bytes.
WORKING_BYTES = 220_000_000


MIN_SIDE = 64  # below this no finding can be seen, by a person or by a network


class Refused(Exception):
    """A picture that must not be scored: a `code` for programs, a `reason` for people.

    Codes: unreadable, too_small, too_large, multiple_frames, not_an_xray, not_a_chest.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def check_size(width: int, height: int, per_pixel: float) -> None:
    """Refuse a picture by its declared size, before any pixel of it is decoded.

    `per_pixel` is how many bytes a pixel decoding takes at its peak.
    """
    most = min(MAX_PIXELS, int(WORKING_BYTES / per_pixel))
    if width * height > most:
        raise Refused("too_large", f"{width} x {height} pixels; at most {most // 1_000_000} million are read")
    if min(width, height) < MIN_SIDE:
        raise Refused("too_small", f"{width} x {height} pixels; each side needs at least {MIN_SIDE}")
