"""Read which study a DICOM file belongs to, also of a file that is refused, such as a side view."""

import re
from io import BytesIO

from model.images import dicom

_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1


def study_uid(content: bytes) -> str | None:
    """The Study Instance UID in the header of a DICOM file; None if the file is none, or states none that is valid.

    It may identify a patient to whoever has the archive: store and show only what is derived from it with a key.
    """
    if not dicom.is_dicom(content) or dicom.is_deflated(content):
        return None
    from pydicom import dcmread

    dicom.silence_libraries()
    try:
        header = dcmread(BytesIO(content), force=True, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
        uid = str(header.get("StudyInstanceUID") or "").strip("\0 ")
    except Exception:  # pydicom raises anything on damaged files
        return None
    return uid if _UID.fullmatch(uid) else None
