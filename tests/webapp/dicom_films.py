"""DICOM films to send: a drawing with a header that states its study."""

import warnings
from io import BytesIO

import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from model import phantom

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"


def dicom_film(study_uid: str = STUDY_UID, seed: int = 101, view: str = "PA", name: str = "Meier^Anna") -> bytes:
    """A DICOM film of 192 x 192 pixels; a lateral `view` ("LL") is refused. The UID may be invalid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _film(study_uid, seed, view, name)


def _film(study_uid: str, seed: int, view: str, name: str) -> bytes:
    pixels = np.asarray(phantom.draw(seed, 192, True), np.uint8)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{seed}"
    dataset.PatientName, dataset.PatientAge, dataset.StudyInstanceUID = name, "050Y", study_uid
    dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined = "CR", view, "CHEST"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = pixels.tobytes()
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()
