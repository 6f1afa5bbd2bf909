"""DICOM films to send, and requests of STOW-RS that carry them."""

from io import BytesIO

import numpy as np
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from model import phantom

CR = "1.2.840.10008.5.1.4.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
UID = "1.2.826.0.1.3680043.8.498.{}"
PATIENT = "DOE^JANE"


def dataset(number: int, size: int = 96, seed: int = 101) -> Dataset:
    """A CR film of a drawing, whose instance has that number."""
    grey = np.asarray(Image.open(BytesIO(phantom.png(seed, size, opacity=False))).convert("L"))
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID = CR, UID.format(number)
    film.StudyInstanceUID, film.SeriesInstanceUID = UID.format("1.1"), UID.format("1.2")
    film.file_meta.MediaStorageSOPClassUID, film.file_meta.MediaStorageSOPInstanceUID = CR, film.SOPInstanceUID
    film.Modality, film.PatientName, film.PatientID = "CR", PATIENT, "4711"
    film.Rows, film.Columns = grey.shape
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit, film.PixelRepresentation = 7, 0
    film.PixelData = grey.tobytes()
    film["PixelData"].VR = "OB"
    return film


def as_bytes(film: Dataset) -> bytes:
    """A data set as a DICOM file."""
    file = BytesIO()
    dcmwrite(file, film, enforce_file_format=True)
    return file.getvalue()


def film(number: int, **more) -> bytes:
    """The film of `dataset` as a DICOM file."""
    return as_bytes(dataset(number, **more))


def related(*contents: bytes, kind: str = "application/dicom") -> tuple[bytes, str]:
    """A body of multipart/related with these instances, and its Content-Type."""
    limit = "a-boundary-of-tests"
    body = b"".join(
        b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (limit.encode(), kind.encode(), each) for each in contents
    )
    return body + f"--{limit}--\r\n".encode(), f'multipart/related; type="{kind}"; boundary={limit}'
