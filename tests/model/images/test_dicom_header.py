"""The header names view, part, processing and orientation in many ways; a film that is turned is made upright."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset


def code(value: str, scheme: str, meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    "view",
    [
        *("LL", "RL", "LLAT", "RLAT", "LAT", "LATERAL", "LEFT LATERAL", "XTABLE LATERAL", "LAO"),
        *("RAO", "LPO", "RPO", "OBLIQUE", "LLD", "AP LLD", "PA RLD", "SWIMMERS", "AP AXIAL", "L LAT", "LATL", "PROFIL"),
        *("SEITE", "R L", "LORDOTIC", "APICAL", "MLO"),
    ],
)
def test_a_view_that_is_not_frontal_is_refused_in_every_spelling(films: Any, film: np.ndarray, view: str) -> None:
    assert films.refusal(films.make(film, ViewPosition=view)) == "not_a_chest"


@pytest.mark.parametrize("view", ["PA", "AP", "AP SUPINE", "PA ERECT", "FRONTAL", "", "UNKNOWN", "POSTERO_ANTERIOR"])
def test_a_frontal_view_is_read(films: Any, film: np.ndarray, view: str) -> None:
    dataset = films.make(film)
    dataset.ViewPosition = view
    assert (films.pixels(dataset) == film).all()


@pytest.mark.parametrize(
    "view",
    [
        code("399067008", "SCT", "lateral"),
        code("R-10236", "SRT", "left lateral"),
        code("399173006", "SCT"),
        code("R-102CD", "SNM3"),
        code("399135007", "SCT", "left anterior oblique"),
        code("L1", "99VENDOR", "LEFT LATERAL"),
    ],
)
def test_a_coded_side_view_is_refused(films: Any, film: np.ndarray, view: list[Dataset]) -> None:
    assert films.refusal(films.make(film, ViewPosition="", ViewCodeSequence=view)) == "not_a_chest"


@pytest.mark.parametrize(
    "view",
    [
        code("399348003", "SCT", "antero-posterior"),
        code("R-40888", "SRT"),
        code("1", "SCT", "postero-anterior erect"),
        code("P", "99VENDOR", "chest"),
        [],
    ],
)
def test_a_coded_frontal_or_unknown_view_is_read(films: Any, film: np.ndarray, view: list[Dataset]) -> None:
    assert (films.pixels(films.make(film, ViewCodeSequence=view)) == film).all()


@pytest.mark.parametrize(
    ("region", "refused"),
    [
        (code("85562004", "SCT", "Hand"), True),
        (code("T-D8700", "SRT"), True),
        (code("122495006", "SCT", "Thoracic spine"), True),
        (code("816094009", "SCT", "Chest"), False),
        (code("T-D3000", "SRT"), False),
        (code("416550000", "SCT", "Chest and Abdomen"), False),
        (code("X", "99VENDOR", "LUNGS"), False),
        (code("X", "99VENDOR", "LEFT KNEE"), True),
    ],
)
def test_the_coded_region_counts_as_the_body_part(
    films: Any, film: np.ndarray, region: list[Dataset], refused: bool
) -> None:
    dataset = films.make(film, BodyPartExamined="", AnatomicRegionSequence=region)
    if refused:
        assert films.refusal(dataset) == "not_a_chest"
    else:
        assert (films.pixels(dataset) == film).all()


@pytest.mark.parametrize("sop_class", ["1.1.1", "2", "1.2", "4"])
def test_a_class_that_is_not_of_a_film_for_presentation_is_refused(
    films: Any, film: np.ndarray, sop_class: str
) -> None:
    dataset = films.make(film, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{sop_class}")
    assert films.refusal(dataset) == "not_an_xray"


@pytest.mark.parametrize("sop_class", ["1", "1.1", "7", "7.2"])
def test_a_class_of_films_and_captures_is_read(films: Any, film: np.ndarray, sop_class: str) -> None:
    dataset = films.make(film, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{sop_class}")
    assert (films.pixels(dataset) == film).all()


# Where rows and columns lead -> how such a file stores an upright picture.
STORED = {
    ("L", "F"): lambda upright: upright,
    ("R", "F"): lambda upright: upright[:, ::-1],
    ("L", "H"): lambda upright: upright[::-1],
    ("R", "H"): lambda upright: upright[::-1, ::-1],
    ("F", "L"): lambda upright: upright.T,
    ("H", "L"): lambda upright: upright[::-1].T,
    ("F", "R"): lambda upright: upright[:, ::-1].T,
    ("H", "R"): lambda upright: upright[::-1, ::-1].T,
}


@pytest.mark.parametrize("directions", STORED)
def test_a_turned_film_is_made_upright(films: Any, film: np.ndarray, directions: tuple[str, str]) -> None:
    stored = np.ascontiguousarray(STORED[directions](film[:80]))
    dataset = films.make(stored, PatientOrientation=list(directions))
    assert (films.pixels(dataset) == film[:80]).all()


@pytest.mark.parametrize("directions", [["A", "F"], ["P", "F"], ["AL", "F"], ["LA", "F"], ["F", "P"]])
def test_a_film_seen_from_the_side_is_refused(films: Any, film: np.ndarray, directions: list[str]) -> None:
    assert films.refusal(films.make(film, PatientOrientation=directions)) == "not_a_chest"


@pytest.mark.parametrize("directions", [["L", ""], [], ["L"], ["X", "Y"]])
def test_an_incomplete_orientation_turns_nothing(films: Any, film: np.ndarray, directions: list[str]) -> None:
    dataset = films.make(film)
    dataset.PatientOrientation = directions
    assert (films.pixels(dataset) == film).all()
