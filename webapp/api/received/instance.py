"""What the header of a received DICOM instance says: whether it can be taken in, and what it is to be called."""

import re
from dataclasses import dataclass
from io import BytesIO

from model.images import dicom as dicom_pictures
from webapp import dicom
from webapp.api.storage.studies import Pseudonyms

_UID = re.compile(r"[0-9.]{1,64}")
_MODALITY = re.compile(r"[A-Z]{2,4}")
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_READ = ["SOPClassUID", "SOPInstanceUID", "Modality", "PixelData"]


class NotTaken(Exception):
    """An instance is not taken in, for a reason of webapp.dicom. `instance`: what is known of it."""

    def __init__(self, reason: int, instance: "Instance") -> None:
        super().__init__(f"0x{reason:04X}")
        self.reason = reason
        self.instance = instance


@dataclass(frozen=True)
class Instance:
    """A DICOM instance: its UIDs, which may identify a patient and go back to the sender only, and its modality."""

    sop_class: str = ""
    sop_instance: str = ""
    modality: str = ""

    def file(self, pseudonyms: Pseudonyms) -> str:
        """A name without patient data; the same for the same SOP Instance UID in a stack. Raises StoreUnavailable."""
        modality = self.modality if _MODALITY.fullmatch(self.modality) else "film"
        return f"{modality}-{pseudonyms.of_instance(self.sop_instance)}.dcm"


def read(content: bytes) -> Instance:
    """The instance in the bytes of a DICOM file. Raises NotTaken for what can never get a result as a film."""
    if not dicom_pictures.is_dicom(content):
        raise NotTaken(dicom.CANNOT_UNDERSTAND, Instance())
    if _DEFLATED in content[:1024]:
        raise NotTaken(dicom.SYNTAX_NOT_SUPPORTED, Instance())
    from pydicom import dcmread  # here, as in the model: for DICOM only

    dicom_pictures.silence_libraries()
    try:
        header = dcmread(BytesIO(content), force=True, specific_tags=_READ)
        instance = Instance(*(str(header.get(name) or "").strip("\0 ") for name in _READ[:3]))
        syntax, pictured = str(header.file_meta.get("TransferSyntaxUID") or ""), "PixelData" in header
    except Exception as error:  # pydicom raises anything on damaged files
        raise NotTaken(dicom.CANNOT_UNDERSTAND, Instance()) from error
    if not _UID.fullmatch(instance.sop_instance) or not _UID.fullmatch(instance.sop_class):
        raise NotTaken(dicom.CANNOT_UNDERSTAND, Instance())
    if instance.sop_class not in dicom.STORAGE_CLASSES:
        raise NotTaken(dicom.CLASS_NOT_SUPPORTED, instance)
    if syntax and syntax not in dicom.TRANSFER_SYNTAXES:
        raise NotTaken(dicom.SYNTAX_NOT_SUPPORTED, instance)
    if not pictured:
        raise NotTaken(dicom.CANNOT_UNDERSTAND, instance)
    return instance
