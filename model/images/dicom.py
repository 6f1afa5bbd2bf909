"""Decode a DICOM radiograph to the grey picture that a viewer would show."""

import re
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from model.images.grayscale import header_word, to_display
from model.images.limits import Refused, check_size

if TYPE_CHECKING:
    from pydicom import Dataset

# CR and DX are radiographs by definition; RG is a film digitised by a scanner; DR is not in the standard, but some
# vendors write it for DX.
_RADIOGRAPHS = {"CR", "DX", "RG", "DR"}
# X-rays of other kinds, or moving ones.
_OTHER_XRAYS = {"MG", "PX", "IO", "XA", "RF", "BMD", "BI"}
_CHEST = re.compile("CHEST|THORAX|THORAC|TORAX|TORAC|LUNG|PULM")
# Body parts of DICOM PS3.16 annex L and common spellings; for unknown ones the statistics of refuse.py decide.
_ELSEWHERE = re.compile(
    "ABDOM|ANKLE|ARM|BREAST|CALCAN|CLAVICLE|COCCYX|ELBOW|EXTREM|FACE|FEMUR|FINGER|FOOT|FEET|HAND|HEAD|HEEL|HIP"
    "|HUMERUS|JAW|KNEE|LEG|MANDIB|MAXILLA|NECK|NASAL|NOSE|ORBIT|PATELLA|PELVI|RADIUS|RIB|SACRUM|SCAPULA|SHOULDER"
    "|SINUS|SKULL|SPINE|STERNUM|TEETH|THIGH|THUMB|TIBIA|TOE|TOOTH|ULNA|WRIST|ZYGOMA"
)
_LATERAL = re.compile(r"^(LL|RL|LLD|RLD|LLO|RLO|LAT|LATERAL)$")
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PILLOW = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"}  # JPEG 8 bit, JPEG 2000
_EXTENDED = "1.2.840.10008.1.2.4.51"
_RLE = "1.2.840.10008.1.2.5"
# Peak memory of decoding in bytes per pixel (measured by tests/model/serving/test_memory.py). Uncompressed values are
# stored twice, with and without unused bits; compressed ones are copied several times by the decoders.
UNCOMPRESSED, COMPRESSED = 4.0, 11.0
# A file without the 128-byte preamble starts with an element of group 2 or 8: explicit or implicit length.
_BARE = re.compile(rb"[\x02\x08]\x00[\x00-\x1f]\x00([A-Z]{2}|.\x00\x00\x00)", re.DOTALL)


def is_dicom(content: bytes) -> bool:
    """Whether the bytes are a DICOM file: by the "DICM" prefix, or by the first element if the prefix is missing."""
    return content[128:132] == b"DICM" or _BARE.match(content) is not None


def decode(content: bytes) -> Image.Image:
    """The picture as a viewer shows it, mode "L": bone bright, air dark.

    Stored values go through the modality LUT and then the VOI LUT or window (the full range if there is none), and are
    inverted if low values are meant to be bright. Raises Refused. No message contains text of the header.
    """
    _silence_libraries()
    try:
        dataset = _parse(content)
        _check_kind(dataset)
        _check_shape(dataset)
        values = _pixels(dataset)
        del dataset.PixelData  # frees it, unless the values are a view of it
        return to_display(values, dataset)
    except (Refused, MemoryError, ImportError):  # a missing library is not the fault of the file
        raise
    except Exception as error:  # pydicom and the decoders raise anything on damaged files
        raise Refused("unreadable", "the DICOM file is damaged, incomplete or compressed in an unknown way") from error


def _silence_libraries() -> None:
    """Suppress the warnings and log messages of pydicom: they contain header values."""
    import logging  # for DICOM files alone, like pydicom

    # For every file: a test or a server may have reset the filters.
    warnings.filterwarnings("ignore", module=r"(pydicom|model\.images)\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def _parse(content: bytes) -> "Dataset":
    if _DEFLATED in content[:4096]:
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


def _check_kind(dataset: "Dataset") -> None:
    """Refuse a file whose header says that it is not a frontal chest radiograph for presentation."""
    modality = header_word(dataset, "Modality")
    if modality in _OTHER_XRAYS:
        raise Refused("not_a_chest", "the DICOM file is an X-ray of another kind, not a chest radiograph")
    if modality not in _RADIOGRAPHS:
        raise Refused("not_an_xray", "the DICOM file is not a radiograph (its modality is neither CR nor DX)")
    part = header_word(dataset, "BodyPartExamined")
    if _ELSEWHERE.search(part) and not (_CHEST.search(part) and "SPINE" not in part):
        raise Refused("not_a_chest", "the DICOM file states a body part other than the chest")
    if _LATERAL.match(header_word(dataset, "ViewPosition")):
        raise Refused("not_a_chest", "the DICOM file states a lateral view; only frontal chest X-rays are scored")
    if header_word(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise Refused("not_an_xray", "the DICOM file contains raw detector values, not a picture for presentation")


def _check_shape(dataset: "Dataset") -> None:
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused("multiple_frames", "the DICOM file contains more than one frame")
    compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    check_size(int(dataset.Columns), int(dataset.Rows), COMPRESSED if compressed else UNCOMPRESSED)
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise Refused("not_an_xray", "the picture has colours; an X-ray is grey")
    stored = dataset.BitsStored
    if (
        dataset.BitsAllocated not in (8, 16)
        or not 1 <= stored <= dataset.BitsAllocated
        or dataset.HighBit != stored - 1
    ):
        raise Refused("unreadable", "the DICOM file stores its values in an unsupported bit layout")


def _pixels(dataset: "Dataset") -> np.ndarray:
    """The stored values, integer [rows, columns]; each compression format is decoded by one library."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    if not syntax.is_encapsulated:
        with_unused = {"view_only": True} if dataset.BitsStored == dataset.BitsAllocated else {}
        return decoder.as_array(dataset, raw=True, **with_unused)[0]
    from pydicom.encaps import generate_frames

    frames = generate_frames(dataset.PixelData, number_of_frames=1)
    stream = next(frames)
    if next(frames, None) is not None:  # more than the header says; all would be decoded
        raise Refused("multiple_frames", "the DICOM file contains more than one frame")
    if syntax != _RLE:  # RLE has no header of its own
        _check_stream(stream, int(dataset.Columns), int(dataset.Rows))
    if syntax == _EXTENDED and dataset.BitsStored > 8:
        return _extended_12_bit(stream, dataset)
    # One library per format, the best tested one: a second attempt on a damaged file only adds risk.
    plugin = "pydicom" if syntax == _RLE else "pillow" if syntax in {*_PILLOW, _EXTENDED} else "gdcm"
    if plugin == "gdcm":
        _silenced_gdcm()
    return decoder.as_array(dataset, raw=True, index=0, decoding_plugin=plugin)[0]


def _check_stream(stream: bytes, columns: int, rows: int) -> None:
    """Refuse a compressed picture whose own header declares several channels or another size than the DICOM header.

    The decoders allocate memory by the inner header: without this check a small file could request any amount. A
    stream without such a header is refused too, such as a JPEG 2000 file where PS3.5 A.4.4 requires a bare stream.
    """
    shape = None
    if stream.startswith(b"\xff\x4f\xff\x51"):  # JPEG 2000: SIZ is the first segment (ISO 15444-1 A.5.1)
        right, bottom, left, top = (int.from_bytes(stream[at : at + 4], "big") for at in range(8, 24, 4))
        shape = (right - left, bottom - top, int.from_bytes(stream[40:42], "big"))
    elif stream.startswith(b"\xff\xd8"):
        shape = _frame_header(stream)
    if shape != (columns, rows, 1):
        raise Refused("unreadable", "the DICOM file is damaged: the size of its picture differs from its header")


def _frame_header(stream: bytes) -> tuple[int, int, int] | None:
    """Columns, rows and channels in the frame header of JPEG (ISO 10918-1 B.2.2) or JPEG-LS (SOF55)."""
    at = 2
    while at + 10 <= len(stream) and stream[at] == 0xFF:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = stream[at + 5 : at + 7], stream[at + 7 : at + 9]
            return int.from_bytes(columns, "big"), int.from_bytes(rows, "big"), stream[at + 9]
        else:
            at += 2 + length
    return None


def _silenced_gdcm() -> Any:
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    return gdcm


def _extended_12_bit(stream: bytes, dataset: "Dataset") -> np.ndarray:
    """Decode 12-bit JPEG Extended, which pydicom does not pass to GDCM although GDCM 3.0.24 decodes it."""
    gdcm = _silenced_gdcm()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((dataset.Columns, dataset.Rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, dataset.BitsStored, dataset.HighBit, 0))
    values = image.GetBuffer().encode("utf-8", "surrogateescape")  # the binding of GDCM returns bytes as text
    return np.frombuffer(values, dtype="<u2").reshape(dataset.Rows, dataset.Columns)
