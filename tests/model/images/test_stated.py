"""What a header states about its film: the patient's age, read and never kept, and the view."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from model import phantom
from model.images.decode import decode
from model.images.dicom_header import Stated
from tests.model.images.test_dicom_header import code


def stated(films: Any, film: np.ndarray, **tags: Any) -> Stated:
    return decode(films.content(films.make(film, **tags))).stated


@pytest.mark.parametrize(
    ("age", "years"),
    [
        *(("004Y", 4), ("071Y", 71), ("100Y", 100), ("000Y", 0), ("5Y", 5), ("71 Y", 71), ("62", 62), ("3", 3)),
        *(("011M", 0), ("012M", 1), ("071M", 5), ("072M", 6), ("900M", 75)),
        *(("051W", 0), ("053W", 1), ("364D", 0), ("366D", 1), ("003D", 0)),
        *(("45 YEARS", 45), ("45YR", 45), ("45yrs", 45), ("1 YEAR", 1), ("45 Y", 45), ("30 MONTHS", 2), ("18MO", 1)),
        *(("60 WEEKS", 1), ("2 WKS", 0), ("400 DAYS", 1), ("45 YEARS OLD", 45), ("45 Y.O.", 45), ("45Y/O", 45)),
        *(("0045Y", 45), ("00000045", 45), ("45.5Y", 45), ("4,5Y", 4), ("0.5Y", 0), ("45.0", 45), ("1.5M", 0)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_stated_age_is_read_in_every_unit(films: Any, film: np.ndarray, age: str, years: int) -> None:
    assert stated(films, film, PatientAge=age).ages == (years,)


UNREADABLE = [
    "",
    "Y",
    "045X",
    "045Y045Y",
    "-05Y",
    "999Y",
    "old",
    "1E3",
    "71 MALE",
    "45YX",
    "4.5.6Y",
    "45-50Y",
    ".",
    "1 2Y",
]


@pytest.mark.parametrize("age", [*UNREADABLE, "9" * 400])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_age_without_a_meaning_is_not_known(films: Any, film: np.ndarray, age: str) -> None:
    dataset = films.make(film)
    dataset.add_new("PatientAge", "AS", age)
    assert decode(films.content(dataset)).stated.ages == ()


@pytest.mark.parametrize(
    ("values", "ages"),
    [
        (["045Y", "045Y"], (45,)),
        (["045Y", ""], (45,)),
        (["", "045Y"], (45,)),
        (["045Y", "45 YEARS", "540M"], (45,)),
        (["045Y", "003Y"], (45, 3)),
        (["", ""], ()),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_of_several_values_is_read(films: Any, film: np.ndarray, values: list[str], ages: tuple[int, ...]) -> None:
    assert stated(films, film, PatientAge=values).ages == ages


@pytest.mark.parametrize("age", [45, 45.5, "45", "045.5"])
def test_an_age_in_a_field_of_numbers_is_read(films: Any, film: np.ndarray, age: Any) -> None:
    dataset = films.make(film)
    dataset.add_new("PatientAge", "DS", age)
    assert decode(films.content(dataset)).stated.ages == (45,)


@pytest.mark.parametrize(
    ("born", "taken", "ages"),
    [
        ("20150310", {"StudyDate": "20200309"}, (4,)),
        ("20150310", {"StudyDate": "20200310"}, (5,)),
        ("1950.03.10", {"StudyDate": "2020.01.01"}, (69,)),
        ("20150310", {"AcquisitionDate": "20200310"}, (5,)),
        ("20150310", {"StudyDate": "", "ContentDate": "20200310"}, (5,)),
        ("20150310", {}, ()),
        ("", {"StudyDate": "20200310"}, ()),
        ("20150310", {"StudyDate": "20140310"}, ()),
        ("19000101", {"StudyDate": "20140310"}, ()),
        ("18000101", {"StudyDate": "20140310"}, ()),
        ("20159910", {"StudyDate": "20140310"}, ()),
        ("1949", {"StudyDate": "20200311"}, (70, 71)),
        ("19490000", {"StudyDate": "20200311"}, (70, 71)),
        ("1949.00.00", {"StudyDate": "20200311"}, (70, 71)),
        ("194903", {"StudyDate": "20200215"}, (70,)),
        ("194903", {"StudyDate": "20200311"}, (70, 71)),
        ("19490300", {"StudyDate": "20200411"}, (71,)),
        ("1949", {"StudyDate": "2020"}, (70, 71)),
        ("2020", {"StudyDate": "20200311"}, (0,)),
        ("1900", {"StudyDate": "20000311"}, ()),
        ("19000000", {"StudyDate": "20000311"}, ()),
        ("0000", {"StudyDate": "20000311"}, ()),
        ("20159910", {"StudyDate": "20200310"}, ()),
        ("20150231", {"StudyDate": "20200310"}, ()),
        ("201503101", {"StudyDate": "20200310"}, ()),
        ("2015-03-10", {"StudyDate": "20200310"}, (5,)),
        ("20150310", {"AcquisitionDateTime": "20200310120000.000000+0100"}, (5,)),
        ("20150310", {"AcquisitionDateTime": "20200309"}, (4,)),
        ("20150310", {"AcquisitionDateTime": "2020"}, (4, 5)),
        ("20150310", {"StudyDate": "19000101", "AcquisitionDate": "20200310"}, (5,)),
        ("20150310", {"StudyDate": "20140101", "ContentDate": "20200310"}, (5,)),
        ("18400310", {"StudyDate": "20200310", "ContentDate": "18500310"}, (10,)),
        ("20150310", {"StudyDate": "nonsense", "SeriesDate": "20200310"}, (5,)),
        ("20150310", {"StudyDate": ["20200310", "20200311"]}, (5,)),
        (["20150310", "20150310"], {"StudyDate": "20200310"}, (5,)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_age_follows_from_the_dates(
    films: Any, film: np.ndarray, born: str, taken: dict[str, str], ages: tuple[int, ...]
) -> None:
    assert stated(films, film, PatientBirthDate=born, **taken).ages == ages


@pytest.mark.parametrize(
    ("ages", "aged"), [((), None), ((0,), False), ((1,), True), ((5,), True), ((6,), False), ((3, 4), True)]
)
def test_ages_are_compared_with_both_ends(ages: tuple[int, ...], aged: bool | None) -> None:
    assert Stated(ages).is_aged(1, 5) is aged


def test_a_year_of_birth_decides_where_both_ages_are_on_one_side() -> None:
    assert Stated((70, 71)).is_aged(1, 5) is False
    assert Stated((5, 6)).is_aged(1, 5) is None
    assert Stated((3, 4)).is_aged(1, 5) is True


def test_a_header_that_contradicts_itself_states_no_age() -> None:
    assert Stated((3, 71)).is_aged(1, 5) is None
    assert Stated((45, 71)).is_aged(1, 5) is False


def test_the_age_is_not_shown(films: Any, film: np.ndarray) -> None:
    picture = decode(films.content(films.make(film, PatientAge="071Y")))
    assert picture.stated.ages == (71,) and "71" not in repr(picture.stated) and "71" not in str(picture.stated)


@pytest.mark.parametrize(
    ("view", "read"),
    [
        *(("PA", "PA"), ("AP", "AP"), ("AP SUPINE", "AP"), ("pa erect", "PA"), ("POSTERO_ANTERIOR", "PA")),
        *(("ANTERO-POSTERIOR", "AP"), ("FRONTAL", None), ("", None), ("UNKNOWN", None), ("AP PA", None)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_view_is_read(films: Any, film: np.ndarray, view: str, read: str | None) -> None:
    assert stated(films, film, ViewPosition=view).view == read


@pytest.mark.parametrize(
    ("view", "position", "read"),
    [
        (code("399348003", "SCT", "antero-posterior"), "", "AP"),
        (code("R-10214", "SRT"), "", "PA"),
        (code("399348003", "99VENDOR"), "", None),
        (code("1", "99VENDOR", "postero-anterior erect"), "", "PA"),
        (code("272479007", "SCT"), "AP", None),
    ],
)
def test_a_coded_view_is_read(
    films: Any, film: np.ndarray, view: list[Dataset], position: str, read: str | None
) -> None:
    assert stated(films, film, ViewPosition=position, ViewCodeSequence=view).view == read


def test_other_files_state_nothing() -> None:
    assert decode(phantom.png(1, 96)).stated == Stated()
