"""Every finding carries what a person should know before trusting it; a film of a known other age is refused."""

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import bundle, phantom
from model.bundle import Bundle
from model.images import refuse
from model.images.decode import Picture, decode
from model.serving.cautions import BLACK_LIMIT, WHITE_LIMIT, find
from model.serving.predict import Classifier, identity
from model.serving.prediction import Caution, Choices, OutsideUse, Prediction, Scoring, checked_prediction


def changed(tiny_bundle: Path, section: str, **values: Any) -> Bundle:
    loaded = bundle.load(tiny_bundle)
    return Bundle(tiny_bundle, {**loaded.manifest, section: {**loaded.manifest[section], **values}})


@pytest.fixture(scope="module")
def of_children(tiny_bundle: Path) -> Bundle:
    """The small bundle, trained on children aged 1 to 5 as the shipped one is."""
    return changed(tiny_bundle, "data", ages=[1, 5])


def film(films: Any, **tags: Any) -> bytes:
    values = np.asarray(phantom.draw(5, 256)).copy()
    values[0, :2] = (0, 255)
    return films.content(films.make(values, **({"ViewPosition": ""} | tags)))


def cautions_of(picture: Picture, bundle: Bundle) -> list[Caution]:
    """The cautions of any picture, as if it did not differ from training pictures except in what is tested."""
    seen = refuse.check(picture, bundle.manifest["refusal"] | {"limit": np.inf}, picture.grey)
    return find(picture, bundle, replace(seen, distance=0))


def codes(document: Prediction) -> list[str]:
    checked_prediction(document)
    return [caution["code"] for caution in document["cautions"]]


@pytest.fixture(scope="module", params=["refuse", "score"])
def classifier(request: pytest.FixtureRequest, of_children: Bundle) -> Classifier:
    return Classifier(of_children, threads=1, choices=Choices(request.param))


def test_a_picture_without_a_header_has_an_unknown_age(classifier: Classifier) -> None:
    document = classifier.predict(phantom.png(5, 256), "a.png")
    assert document["finding"] and codes(document) == ["age_unknown"]
    assert "1 to 5 years" in document["cautions"][0]["sentence"]


def test_a_film_of_the_training_ages_has_no_caution(classifier: Classifier, films: Any) -> None:
    document = classifier.predict(film(films, PatientAge="004Y"), "a.dcm")
    assert document["finding"] and codes(document) == []


OTHER_AGES = [
    {"PatientAge": "071Y"},
    {"PatientAge": "003M"},
    {"PatientAge": "62"},
    {"PatientAge": "62 YEARS"},
    {"PatientBirthDate": "1949", "AcquisitionDateTime": "20200311101010"},
    {"PatientBirthDate": "19490310", "StudyDate": "20200311"},
    {"PatientAge": "", "PatientBirthDate": "20140310", "StudyDate": "20200311"},
]


@pytest.mark.parametrize("tags", OTHER_AGES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_film_of_another_age_is_refused_or_scored_with_its_caution(
    of_children: Bundle, films: Any, tags: dict[str, str]
) -> None:
    content = film(films, **tags)
    outcomes: dict[OutsideUse, Prediction] = {
        use: Classifier(of_children, threads=1, choices=Choices(use)).predict(content, "a.dcm")
        for use in ("refuse", "score")
    }
    refused, scored = outcomes["refuse"], outcomes["score"]
    assert refused["refusal"]["code"] == "outside_intended_use" and codes(refused) == []
    assert refused["finding"] is refused["probability"] is None and refused["input"]["format"] == "DICOM"
    assert scored["finding"] and codes(scored) == ["age_outside"]
    for document in (refused, scored):  # what the header says is nobody's business
        text = json.dumps({key: document[key] for key in ("refusal", "cautions")})
        assert set(re.findall(r"\d+", text)) == {"1", "5"}  # the ages in training, "1 to 5 years"


def test_a_known_age_is_the_reason_before_the_look_of_the_film(of_children: Bundle, films: Any) -> None:
    blank = films.content(films.make(np.full((300, 200), 120, dtype=np.uint8), PatientAge="071Y"))
    codes = [
        Classifier(of_children, threads=1, choices=Choices(use)).predict(blank, "a.dcm")["refusal"]["code"]
        for use in ("refuse", "score")
    ]
    assert codes == ["outside_intended_use", "not_an_xray"]


def test_refusing_is_the_default(of_children: Bundle, films: Any) -> None:
    assert Classifier(of_children, threads=1).predict(film(films, PatientAge="071Y"), "a.dcm")["refusal"]


UNCLEAR_AGES = [
    {},
    {"PatientAge": "45X"},
    {"PatientAge": "003Y", "PatientBirthDate": "19490310"},
    {"PatientBirthDate": "2014"},  # five or six years
]


@pytest.mark.parametrize("tags", UNCLEAR_AGES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_age_that_is_not_known_is_scored(classifier: Classifier, films: Any, tags: dict[str, str]) -> None:
    document = classifier.predict(film(films, StudyDate="20200311", **tags), "a.dcm")
    assert document["finding"] and codes(document) == ["age_unknown"]
    (caution,) = document["cautions"]
    assert caution["sentence"].startswith("The file does not tell the patient's age, or not clearly; ")
    assert set(re.findall(r"\d+", caution["sentence"])) == {"1", "5"}


def test_a_bundle_that_states_no_ages_calls_no_age_outside(tiny_bundle: Path, films: Any) -> None:
    classifier = Classifier.open(tiny_bundle, threads=1)
    for content in (film(films, PatientAge="071Y"), film(films, PatientAge="004Y"), phantom.png(5, 256)):
        document = classifier.predict(content, "a")
        assert document["finding"] and codes(document) == ["training_ages_unknown"]


def test_the_setting_changes_the_id_of_a_prediction() -> None:
    default = identity("0", "a.png", Scoring("v"))
    assert default == identity("0", "a.png", Scoring("v", "refuse")) != identity("0", "a.png", Scoring("v", "score"))


@pytest.mark.parametrize("view", ["AP", "PA"])
def test_a_known_view_is_said(classifier: Classifier, films: Any, view: str) -> None:
    document = classifier.predict(film(films, PatientAge="004Y", ViewPosition=view), "a.dcm")
    assert codes(document) == [f"view_{view.lower()}"] and f"{view} view" in document["cautions"][0]["sentence"]


def test_a_picture_below_the_networks_input_is_said_to_be_enlarged(of_children: Bundle) -> None:
    picture = decode(phantom.png(5, 96))
    for side, low in ((96, False), (97, True)):
        manifest = of_children.manifest
        larger = Bundle(of_children.directory, {**manifest, "input": {**manifest["input"], "height": side}})
        assert ("low_resolution" in [each["code"] for each in cautions_of(picture, larger)]) is low


def test_a_picture_between_the_limits_is_unlike_training(tiny_bundle: Path) -> None:
    content = phantom.png(5, 256)
    picture = decode(content)
    squared = refuse.check(picture, bundle.load(tiny_bundle).manifest["refusal"], picture.grey).distance
    for limit, unlike in ((squared * 1.01, False), (squared * 0.99, True)):
        limited = changed(tiny_bundle, "refusal", caution_limit=limit)
        found = codes(Classifier(limited, threads=1).predict(content, "a.png"))
        assert ("unlike_training" in found) is unlike
    assert "unlike_training" not in codes(Classifier.open(tiny_bundle, threads=1).predict(content, "a.png"))


@pytest.mark.parametrize(
    ("value", "limit", "code"), [(0, BLACK_LIMIT, "clipped_black"), (255, WHITE_LIMIT, "clipped_white")]
)
def test_a_clipped_picture_is_said_to_be_badly_exposed(
    of_children: Bundle, value: int, limit: float, code: str
) -> None:
    for share, clipped in ((max(limit - 0.02, 0), False), (limit + 0.02, True)):
        values = np.full((400, 400), 120, dtype=np.uint8)
        values[: round(400 * share)] = value
        picture = decode(png(values))
        assert (code in [each["code"] for each in cautions_of(picture, of_children)]) is clipped


OFF = [
    ("mean", (0.001, 1.0), "too_dark", "darker"),
    ("mean", (-1.0, -0.001), "too_bright", "brighter"),
    ("spread", (0.001, 1.0), "low_contrast", "less contrast"),
    ("spread", (-1.0, -0.001), "high_contrast", "more contrast"),
]


@pytest.mark.parametrize(("statistic", "away", "code", "words"), OFF)
def test_a_picture_beyond_the_exposures_of_validation_films_is_said_to_be_badly_exposed(
    of_children: Bundle, statistic: str, away: tuple[float, float], code: str, words: str
) -> None:
    picture = decode(phantom.png(5, 256))
    values = dict(zip(refuse.NAMES, refuse.statistics(picture.grey, 0.0), strict=True))
    inside = {name: [values[name] - 0.001, values[name] + 0.001] for name in ("mean", "spread")}
    beyond = inside | {statistic: [values[statistic] + each for each in away]}
    for exposure, expected in ((inside, []), (beyond, [code])):
        refusal = {**of_children.manifest["refusal"], "exposure": exposure}
        bundled = Bundle(of_children.directory, {**of_children.manifest, "refusal": refusal})
        found = [each for each in cautions_of(picture, bundled) if each["code"] != "age_unknown"]
        assert [each["code"] for each in found] == expected
        assert all(words in each["sentence"] for each in found)


def test_a_bundle_without_exposures_knows_clipped_pixels_alone(of_children: Bundle) -> None:
    assert "exposure" not in of_children.manifest["refusal"]
    for shift in (0.2, 0.5):
        dark = decode(png((np.asarray(phantom.draw(5, 256)) * shift + 1).astype(np.uint8)))
        assert [each["code"] for each in cautions_of(dark, of_children)] == ["age_unknown"]


def png(values: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()
