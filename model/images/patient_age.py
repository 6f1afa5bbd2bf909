"""Read the age of the patient from a DICOM header: as it is stated, and from the dates."""

import calendar
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

# Age String (PS3.5 6.2), and what is written instead: decimals, more zeros, words. Without a unit, which the standard
# requires, public sets of adults mean years (RSNA 2018).
_AGE = re.compile(
    r"(?P<number>\d{1,9}([.,]\d{1,9})?)"
    r" ?(?P<unit>D|DAYS?|W|WKS?|WEEKS?|M|MOS?|MTHS?|MONTHS?|Y|YRS?|YEARS?|Y[./]?O\.?)?( OLD)?"
)
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}
_OLDEST = 125  # years; more is a placeholder for a birth date that was removed, as is the first day of 1900
_PLACEHOLDER = date(1900, 1, 1)
_TAKEN = ("StudyDate", "AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "ContentDate")
_DATE = re.compile(r"(\d{4})(\d\d)?(\d\d)?")


def ages(dataset: "Dataset") -> tuple[int, ...]:
    """The ages in whole years that the header states or allows; several if it contradicts itself or is not exact."""
    found = [age for text in _texts(dataset, "PatientAge") for age in _stated(text)]
    return tuple(dict.fromkeys([*found, *_by_dates(dataset)]))


def _stated(text: str) -> Iterator[int]:
    match = _AGE.fullmatch(text)
    if match is None:
        return
    unit = (match["unit"] or "Y")[0]
    yield from _plausible([int(float(match["number"].replace(",", ".")) / _PER_YEAR[unit])])


def _by_dates(dataset: "Dataset") -> list[int]:
    """The possible ages on the first date of the examination that gives any; a date may be a year or a month."""
    for born_first, born_last in _days(dataset, "PatientBirthDate"):
        for keyword in _TAKEN:
            for taken_first, taken_last in _days(dataset, keyword):
                youngest, oldest = _years(born_last, taken_first), _years(born_first, taken_last)
                if possible := list(_plausible(range(youngest, oldest + 1))):
                    return possible
    return []


def _plausible(years: Iterable[int]) -> Iterator[int]:
    return (age for age in years if 0 <= age <= _OLDEST)


def _years(born: date, taken: date) -> int:
    return taken.year - born.year - ((taken.month, taken.day) < (born.month, born.day))


def _days(dataset: "Dataset", keyword: str) -> Iterator[tuple[date, date]]:
    """The first and the last day that each date may mean: those of a year or of a month, if it has no more digits."""
    for text in _texts(dataset, keyword):
        digits = re.sub("[.-]", "", text)
        match = _DATE.fullmatch(digits[:8] if keyword == "AcquisitionDateTime" else digits)
        if match is None:
            continue
        year, month, day = (int(part or 0) for part in match.groups())
        day = day if month else 0
        try:
            first = date(year, month or 1, day or 1)
            last = date(year, month or 12, day or calendar.monthrange(year, month or 12)[1])
        except ValueError:
            continue
        if first != _PLACEHOLDER:
            yield first, last


def _texts(dataset: "Dataset", keyword: str) -> list[str]:
    """The values of a field as upper-case texts."""
    value = dataset.get(keyword)
    values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return [str(each).strip().upper() for each in values if each is not None]
