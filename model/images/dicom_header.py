"""Decide by a DICOM header whether a file is a frontal chest radiograph, how it is turned, and what it states."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from PIL.Image import Transpose

from model.images import patient_age
from model.images.limits import Refused

if TYPE_CHECKING:
    from pydicom import Dataset

# CR and DX are radiographs by definition; RG is a film digitised by a scanner; DR is not in the standard, but some
# vendors write it for DX.
_RADIOGRAPHS = {"CR", "DX", "RG", "DR"}
# X-rays of other kinds, or moving ones.
_OTHER_XRAYS = {"MG", "PX", "IO", "XA", "RF", "BMD", "BI"}
# SOP classes (PS3.4 B.5) below this root are of one modality each: CR, DX for presentation, and secondary captures.
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = re.compile(re.escape(_STORAGE) + r"(1|1\.1|7(\.\d)?)")
_FOR_PROCESSING = f"{_STORAGE}1.1.1"
_CHEST = re.compile("CHEST|THORAX|THORAC|TORAX|TORAC|LUNG|PULM|TRUNK|TORSO|HEART|CARDI|MEDIAST")
# Body parts of DICOM PS3.16 annex L and common spellings; for unknown ones the statistics of refuse.py decide.
_ELSEWHERE = re.compile(
    "ABDOM|ANKLE|ARM|BREAST|CALCAN|CLAVICLE|COCCYX|ELBOW|EXTREM|FACE|FEMUR|FINGER|FOOT|FEET|HAND|HEAD|HEEL|HIP"
    "|HUMERUS|JAW|KNEE|LEG|MANDIB|MAXILLA|NECK|NASAL|NOSE|ORBIT|PATELLA|PELVI|RADIUS|RIB|SACRUM|SCAPULA|SHOULDER"
    "|SINUS|SKULL|SPINE|STERNUM|TEETH|THIGH|THUMB|TIBIA|TOE|TOOTH|ULNA|WRIST|ZYGOMA"
)
# The terms of PS3.3 C.8.7.1.1.2, and what devices and public data sets write instead.
_OTHER_VIEW = re.compile(
    r"\b(LL|RL|[LR] [LR]|LLD|RLD|LLO|RLO|[LR]?T?LAT\w*|LAO|RAO|LPO|RPO|OBL\w*|SAG\w*|AXIAL|TANGENTIAL|DECUB\w*"
    r"|SWIMMERS?|PROFIL\w*|PERFIL|SEIT\w*|LORDO\w*|APICAL|CC|MLO)\b"
)
_FRONTAL_VIEW = re.compile(r"\b(PA|AP|FRONTAL|(POSTERO|ANTERO) ?(ANTERIOR|POSTERIOR))\b")
# SNOMED CT, and the older codes of the same terms (PS3.16 CID 4010 and 4031).
_TERMINOLOGIES = {"SCT", "SRT", "SNM3"}
_FRONTAL_CODES = {"399348003", "272479007", "399033003", "R-10206", "R-40888", "R-10214", "R-10202"}
_CHEST_CODES = {
    *("816094009", "51185008", "43799004", "39607008", "86598002", "416775004", "416550000", "417437006"),
    *("416319003", "416152001", "T-D3000", "T-28000", "T-280A0", "R-FAB52", "R-FAB53", "R-FAB54", "R-FAB55", "R-FAB56"),
}
# Patient Orientation (PS3.3 C.7.6.1.1.1): where the rows and the columns lead. Upright is left and foot, as a viewer
# who faces the patient sees it.
_TURNS = {
    ("L", "F"): None,
    ("R", "F"): Transpose.FLIP_LEFT_RIGHT,
    ("L", "H"): Transpose.FLIP_TOP_BOTTOM,
    ("R", "H"): Transpose.ROTATE_180,
    ("F", "L"): Transpose.TRANSPOSE,
    ("H", "L"): Transpose.ROTATE_90,
    ("F", "R"): Transpose.ROTATE_270,
    ("H", "R"): Transpose.TRANSVERSE,
}
_AP_CODES, _PA_CODES = {"399348003", "R-10206"}, {"272479007", "R-10214"}
_AP = re.compile(r"\b(AP|ANTERO ?POSTERIOR)\b")
_PA = re.compile(r"\b(PA|POSTERO ?ANTERIOR)\b")


@dataclass(frozen=True)
class Stated:
    """What a file states about its film. `ages` never leaves this process: it is patient data.

    `ages`: the patient's age in whole years, by each statement of the header, or each that it allows; empty if there is
    none. `burned_in`: the pixels contain text that may identify the patient.
    """

    ages: tuple[int, ...] = field(default=(), repr=False)
    view: Literal["AP", "PA"] | None = None
    burned_in: bool = False

    def is_aged(self, low: int, high: int) -> bool | None:
        """Whether the patient's age is from `low` to `high`; None if the header says nothing or contradicts itself."""
        inside = {low <= age <= high for age in self.ages}
        return inside.pop() if len(inside) == 1 else None


def word(dataset: "Dataset", keyword: str) -> str:
    """A header value as upper-case text, "" if it is missing."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip().upper()


def check_kind(dataset: "Dataset") -> None:
    """Refuse a file whose header says that it is not a frontal chest radiograph for presentation."""
    _check_modality(dataset)
    if _is_elsewhere(dataset):
        raise Refused("not_a_chest", "the DICOM file states a body part other than the chest")
    if _is_other_view(dataset):
        raise Refused(
            "not_a_chest", "the DICOM file states a view other than a frontal one; only frontal chest X-rays are scored"
        )


def turn(dataset: "Dataset") -> Transpose | None:
    """What makes the picture upright, None if it is or if the header does not say.

    Raises Refused for a picture that cannot be frontal: its rows or columns lead forwards or backwards.
    """
    value = dataset.get("PatientOrientation")
    directions = [value] if isinstance(value, str) else list(value or ())
    if len(directions) != 2 or not all(directions):
        return None
    row, column = (str(direction).strip().upper() for direction in directions)
    if {*row, column[:1]} & {"A", "P"}:
        raise Refused(
            "not_a_chest", "the DICOM file states a view other than a frontal one; only frontal chest X-rays are scored"
        )
    return _TURNS.get((row[:1], column[:1]))


def stated(dataset: "Dataset") -> Stated:
    """The age of the patient, the view and whether text is burned into the pixels, as the header states them."""
    return Stated(patient_age.ages(dataset), _view(dataset), word(dataset, "BurnedInAnnotation") == "YES")


def _view(dataset: "Dataset") -> Literal["AP", "PA"] | None:
    texts = [_spaced(word(dataset, "ViewPosition"))]
    found: set[Literal["AP", "PA"]] = set()
    for code, standard, meaning in _codes(dataset, "ViewCodeSequence"):
        texts.append(meaning)
        if standard and code in _AP_CODES | _PA_CODES:
            found.add("AP" if code in _AP_CODES else "PA")
    for text in texts:
        if _AP.search(text):
            found.add("AP")
        if _PA.search(text):
            found.add("PA")
    return found.pop() if len(found) == 1 else None


def _check_modality(dataset: "Dataset") -> None:
    modality, sop_class = word(dataset, "Modality"), word(dataset, "SOPClassUID")
    if modality in _OTHER_XRAYS:
        raise Refused("not_a_chest", "the DICOM file is an X-ray of another kind, not a chest radiograph")
    if modality not in _RADIOGRAPHS:
        raise Refused("not_an_xray", "the DICOM file is not a radiograph (its modality is neither CR nor DX)")
    if word(dataset, "PresentationIntentType") == "FOR PROCESSING" or sop_class == _FOR_PROCESSING:
        raise Refused("not_an_xray", "the DICOM file contains raw detector values, not a picture for presentation")
    if sop_class.startswith(_STORAGE) and not _CLASSES.fullmatch(sop_class):
        raise Refused("not_an_xray", "the DICOM file contradicts itself: its class is not that of a radiograph")


def _is_elsewhere(dataset: "Dataset") -> bool:
    if _names_other_part(word(dataset, "BodyPartExamined")):
        return True
    return any(
        _names_other_part(meaning) or (standard and code not in _CHEST_CODES and not _CHEST.search(meaning))
        for code, standard, meaning in _codes(dataset, "AnatomicRegionSequence")
    )


def _names_other_part(text: str) -> bool:
    return bool(_ELSEWHERE.search(text)) and not (_CHEST.search(text) and "SPINE" not in text)


def _is_other_view(dataset: "Dataset") -> bool:
    if _OTHER_VIEW.search(_spaced(word(dataset, "ViewPosition"))):
        return True
    return any(
        _OTHER_VIEW.search(meaning) or (standard and code not in _FRONTAL_CODES and not _FRONTAL_VIEW.search(meaning))
        for code, standard, meaning in _codes(dataset, "ViewCodeSequence")
    )


def _codes(dataset: "Dataset", keyword: str) -> list[tuple[str, bool, str]]:
    """The items of a code sequence: the code, whether it is of a standard terminology, and its meaning."""
    return [
        (code, word(item, "CodingSchemeDesignator") in _TERMINOLOGIES, _spaced(word(item, "CodeMeaning")))
        for item in dataset.get(keyword) or ()
        if (code := word(item, "CodeValue") or word(item, "LongCodeValue"))
    ]


def _spaced(text: str) -> str:
    return re.sub("[^A-Z]+", " ", text)
