"""A DICOM film whose header names a patient who does not exist, and a search for that patient in any bytes."""

import base64
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from urllib.parse import quote, quote_plus

from tests.webapp.api.received import films

# What only the header says. No page, file or log may have it.
HEADER = MappingProxyType(
    {
        "PatientName": "Zwirnqueck^Ottokara",
        "PatientID": "PIDQX7731994",
        "PatientBirthDate": "19170523",
        "PatientAddress": "Quellenquergasse 77",
        "PatientComments": "Quarkallergie bekannt",
        "OtherPatientIDs": "OPIDQX5520318",
        "AccessionNumber": "ACCQX5502817",
        "ReferringPhysicianName": "Drosselbartin^Quirina",
        "OperatorsName": "Xaverquist^Yvo",
        "InstitutionName": "Klinikum Quassenburg",
        "StationName": "STATQX90817",
        "DeviceSerialNumber": "SERQX4471209",
        "StudyDescription": "Thoraxquux Kontrolle",
        "StudyID": "STUDQX881207",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.77310055028177",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.77310055028178",
    }
)
PRIVATE, PREAMBLE = "Privatquacksilber", "Vorspannquappe"
INSTANCE = "1.2.826.0.1.3680043.8.498.7731005502818"  # and the number of the film
CANARIES = (*HEADER.values(), *"^".join((HEADER["PatientName"], HEADER["ReferringPhysicianName"])).split("^"))
CANARIES = (*CANARIES, PRIVATE, PREAMBLE, INSTANCE)
NOT_IN_A_NUMBER = rb"(?<![0-9a-f])%s(?![0-9a-f])"  # eight digits may be part of a digest


def film(number: int, size: int = 256, bits: int = 8) -> bytes:
    """A film of a drawing, with all of them; each number is another instance."""
    made = films.dataset(number, size, seed=100 + number)
    for name, value in HEADER.items():
        setattr(made, name, value)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{INSTANCE}{number}"
    made.private_block(0x0011, "QUACKSALBER 1.0", create=True).add_new(0x01, "LO", PRIVATE)
    if bits > 8:
        import numpy as np

        grey = np.frombuffer(made.PixelData, np.uint8).astype("<u2") << (bits - 8)
        made.BitsAllocated, made.BitsStored, made.HighBit = 16, bits, bits - 1
        made.PixelData = grey.tobytes()
        made["PixelData"].VR = "OW"
    made.preamble = PREAMBLE.encode().ljust(128, b"\0")
    return films.as_bytes(made)


def found(words: Mapping[str, str] | tuple[str, ...], content: bytes) -> list[str]:
    """Those of the words that are in the content, as they are or encoded."""
    folded = content.lower()
    return [word for word in words if any(_within(form.lower(), folded) for form in _forms(word))]


def _within(form: bytes, content: bytes) -> bool:
    if form.isdigit():
        return re.search(NOT_IN_A_NUMBER % form, content) is not None
    return form in content


def _forms(word: str) -> Iterator[bytes]:
    plain = word.encode()
    yield from (plain, plain.hex().encode(), word.encode("utf-16-le"), word.encode("utf-16-be"))
    yield from (quote(word).encode(), quote_plus(word).encode())
    for shift in range(3):  # of base64: what stands before it is not known
        yield base64.b64encode(b"\0" * shift + plain)[shift + (shift > 0) : -4]
