"""Which pictures are accepted: file name suffixes, the size limits checked before decoding, and the refusal error."""

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".dcm", ".dicom"})
# The largest detectors have 18.5 million pixels (about 4300 x 4300); scanned films have up to twice as many.
MAX_PIXELS = 40_000_000
# The most memory that decoding may use besides the file itself. 5 bytes per pixel suffice for any PNG of MAX_PIXELS.
# Formats that need more (progressive colour JPEG, compressed DICOM) get fewer pixels: 20 million at 11 bytes.
WORKING_BYTES = 220_000_000
MIN_SIDE = 64  # below this neither a person nor a network can see a finding


class Refused(Exception):
    """A picture that must not be scored, with a `code` for programs and a `reason` for people.

    Codes: RefusalCode in model/serving/prediction.py.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def check_size(width: int, height: int, bytes_per_pixel: float) -> None:
    """Refuse a picture by its declared size, before it is decoded.

    `bytes_per_pixel` is the peak memory of decoding.
    """
    limit = min(MAX_PIXELS, int(WORKING_BYTES / bytes_per_pixel))
    if width * height > limit:
        raise Refused(
            "too_large", f"{width} x {height} pixels; at most {limit // 1_000_000} million pixels are accepted"
        )
    if min(width, height) < MIN_SIDE:
        raise Refused("too_small", f"{width} x {height} pixels; each side needs at least {MIN_SIDE}")
