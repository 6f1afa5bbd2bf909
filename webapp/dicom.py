"""What is received by DICOM: the storage classes, the transfer syntaxes, and the statuses of an answer."""

import re

CALLING_HEADER = "X-Pneumo-Calling"  # the AE title by which a sender of DICOM calls itself, as the receiver heard it
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Radiographs for presentation, and secondary captures, as which older devices send them (PS3.4 B.5).
STORAGE_CLASSES = tuple(_STORAGE + last for last in ("1", "1.1", "7", "7.2", "7.3"))
_SYNTAX = "1.2.840.10008.1.2"
# Those that model.images.dicom_values decodes (PS3.5 A), first the ones that cost least.
TRANSFER_SYNTAXES = (
    *(_SYNTAX + last for last in (".1", "", ".2")),
    *(f"{_SYNTAX}.4.{last}" for last in ("70", "57", "80", "90", "50", "51", "81", "91")),
    f"{_SYNTAX}.5",
)

# Of C-STORE (PS3.4 B.2.3) and, as the reason of a failure, of STOW-RS (PS3.18 I.2.2).
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
CLASS_NOT_SUPPORTED = 0x0122
OUT_OF_RESOURCES = 0xA700  # the sender keeps the film, and sends it again later
CANNOT_UNDERSTAND = 0xC000
SYNTAX_NOT_SUPPORTED = 0xC122

# Tags of the answer of STOW-RS (PS3.18 I.1).
REFERENCED_CLASS, REFERENCED_INSTANCE = "00081150", "00081155"
RETRIEVE_URL, FAILURE_REASON, FAILED, STORED = "00081190", "00081197", "00081198", "00081199"
JSON_TYPE = "application/dicom+json"


def clean_title(text: str) -> str:
    """An AE title (PS3.5: at most 16 characters of ASCII) that is safe to record; other characters are underscores."""
    return re.sub(r"[^ -~]", "_", text.strip("\0 "))[:16].strip()
