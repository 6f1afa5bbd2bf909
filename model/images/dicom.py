"""Decode a DICOM radiograph to the grey picture that a viewer would show."""

import re
import warnings
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from model.images import grey16
from model.images.dicom_header import Stated, check_kind, stated, turn
from model.images.dicom_values import stored_values
from model.images.grayscale import to_display
from model.images.grey16 import Grey16
from model.images.limits import Refused

if TYPE_CHECKING:
    from pydicom import Dataset

_DEFLATED = b"1.2.840.10008.1.2.1.99"
# A file without the 128-byte preamble starts with an element of group 2 or 8: explicit or implicit length.
_BARE = re.compile(rb"[\x02\x08]\x00[\x00-\x1f]\x00([A-Z]{2}|.\x00\x00\x00)", re.DOTALL)


def is_dicom(content: bytes) -> bool:
    """Whether the bytes are a DICOM file: by the "DICM" prefix, or by the first element if the prefix is missing."""
    return content[128:132] == b"DICM" or _BARE.match(content) is not None


def is_deflated(content: bytes) -> bool:
    """Whether the bytes of a DICOM file may be deflated: its size cannot be checked before decompression."""
    return _DEFLATED in content


def decode(content: bytes, wide: bool = False) -> tuple[Image.Image, Stated, Grey16 | None]:
    """The picture as a viewer shows it, mode "L": bone bright, air dark; and what the header states about the film.

    Stored values go through the modality LUT and then the VOI LUT or window (the full range if there is none), and are
    inverted if low values are meant to be bright. A picture that is turned or mirrored, as its header says, is made
    upright. Raises Refused. No message contains text of the header.

    wide: give the values of a film of more than 8 bits, too.
    """
    silence_libraries()
    try:
        dataset = _parse(content)
        check_kind(dataset)
        upright = turn(dataset)
        values, padding = stored_values(dataset)
        del dataset.PixelData  # frees it, unless the values are a view of it
        film = grey16.of_dicom(values, dataset, padding, upright) if wide else None  # before the picture takes memory
        grey = to_display(values, dataset, padding)
        return grey if upright is None else grey.transpose(upright), stated(dataset), film
    except (Refused, MemoryError, ImportError):  # a missing library is not the fault of the file
        raise
    except Exception as error:  # pydicom and the decoders raise anything on damaged files
        raise Refused("unreadable", "the DICOM file is damaged, incomplete or compressed in an unknown way") from error


def silence_libraries() -> None:
    """Suppress the warnings and log messages of pydicom: they contain header values."""
    import logging  # for DICOM files alone, like pydicom

    # For every file: a test or a server may have reset the filters.
    warnings.filterwarnings("ignore", module=r"(pydicom|model\.images)\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def _parse(content: bytes) -> "Dataset":
    if is_deflated(content):
        raise Refused("unreadable", "deflated DICOM is not supported: its size cannot be checked before decompression")
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset = dcmread(BytesIO(content), force=True)
    if "PixelData" not in dataset:
        raise Refused("unreadable", "the DICOM file contains no picture")
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset
