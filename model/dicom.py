"""Decode a DICOM radiograph to the grey picture that a viewer would show."""

from PIL import Image

from model.images import Refused


def recognise(content: bytes) -> bool:
    """Whether the bytes are a DICOM file, by its magic word."""
    return content[128:132] == b"DICM"


def decode(content: bytes) -> Image.Image:
    """The picture as mode "L"; raises Refused."""
    raise Refused("unreadable", "DICOM is not read yet")
