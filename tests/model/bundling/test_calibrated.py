"""A bundle that was calibrated on films of its user: what is new in it, and what stays."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import bundle, phantom
from model.bundle import Bundle, BundleError
from model.bundling import calibrated, known_picture
from model.bundling.calibrated import TooFewFilmsError, fewest, recalibrate, require_enough
from model.bundling.onnx import add_offset
from model.evaluation.calibrate import sigmoid
from model.evaluation.intervals import wilson
from model.operating_points_section import own_films
from model.serving.predict import Classifier
from tests.model.manifests import put, rewrite

DIGESTS = {"pictures": "a" * 64, "scored": "b" * 64, "digests": ["c" * 12], "refused": 3}


@pytest.fixture(scope="module", autouse=True)
def _small_drawings() -> Iterator[None]:
    """Each bundle chooses its known picture from 16 drawings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_picture, "KNOWN_SIZE", 192)
        yield


def scores(n: int = 200, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too high by 3 and too far apart by a factor 2, of n films of each class."""
    labels = np.repeat([1, 0], n)
    true = np.random.default_rng(seed).normal(0, 1.5, 2 * n) + np.where(labels == 1, 2.5, -2.5)
    return 2 * true + 3, labels


@pytest.fixture
def base(bundle_dir: Path) -> Bundle:
    return bundle.load(bundle_dir)


@pytest.fixture(scope="module")
def made(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle, calibrated. Do not write into it: copy it first."""
    return recalibrate(bundle.load(tiny_bundle), tmp_path_factory.mktemp("made") / "new", *scores(), DIGESTS)


def test_the_new_version_says_what_it_was_calibrated_on(base: Bundle, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in base.directory.rglob("*") if path.is_file()}
    logits, labels = scores()
    made = recalibrate(base, tmp_path / "new", logits, labels, DIGESTS)
    assert made.name == base.name and made.version != base.version and made.manifest["base"] == base.version
    films = own_films(made.manifest)
    assert films is not None and films["pictures"] == "a" * 64
    assert (films["n"], films["positives"], films["negatives"], films["refused"]) == (400, 200, 200, 3)
    assert made.manifest["metrics"]["test"] is None  # the test of the original was at another threshold
    points = made.manifest["operating_points"]
    assert {point["chosen_on"] for point in points.values()} == {"own films"}
    assert (
        points["balanced"]["validation"]["sensitivity"]["value"]
        >= base.manifest["operating_point"]["target_sensitivity"]
    )
    assert points["screening"]["threshold"] < points["balanced"]["threshold"] == made.threshold
    card = (made.directory / "MODEL_CARD.md").read_text()
    assert f"the network of version {base.version}" in card and "400 labelled films of its user, 200 with" in card
    assert films["date"] in card and "3 more films of that folder" in card and "a" * 64 in card
    assert "### Tiny test model" in card and "The figures on these films flatter" in card
    assert {path: path.read_bytes() for path in before} == before  # the original is unchanged
    assert "model.keras" not in made.manifest["files"]
    assert any(name.startswith("report/calibration_") for name in made.manifest["files"])


def test_the_new_probabilities_are_those_of_the_fit(base: Bundle, tmp_path: Path) -> None:
    logits, labels = scores(2000)
    made = recalibrate(base, tmp_path / "new", logits, labels, DIGESTS)
    offset, temperature = made.manifest["calibration"]["offset"], made.temperature
    # Undone: for classes 5 apart with spread 1.5, the log odds of a film are 5 / 1.5 ** 2 of its true value.
    assert offset == pytest.approx(-3, abs=0.3) and temperature == pytest.approx(2 * 1.5**2 / 5, rel=0.1)
    old, new = Classifier(base), Classifier(made)
    for seed in (100, 101):
        drawing = phantom.draw(seed, 192, seed == 101)
        logit = np.log(old.probability(drawing) / (1 - old.probability(drawing)))
        assert new.probability(drawing) == pytest.approx(sigmoid(logit + offset, temperature), abs=1e-5)
    measured, expected, tolerance = new.self_check()
    assert abs(measured - expected) < tolerance
    point = made.manifest["operating_points"]["balanced"]
    hits = sigmoid(logits + offset, temperature) >= point["threshold"]
    assert point["validation"]["sensitivity"]["value"] == pytest.approx(hits[labels == 1].mean(), abs=1e-9)


def test_a_calibrated_bundle_can_be_calibrated_again(base: Bundle, tmp_path: Path) -> None:
    logits, labels = scores()
    first = recalibrate(base, tmp_path / "first", logits, labels, DIGESTS)
    offset = first.manifest["calibration"]["offset"]
    second = recalibrate(first, tmp_path / "second", logits + offset + 1, labels, DIGESTS, "other", 0.9)
    assert second.name == "other" and second.manifest["base"] == first.version
    assert second.manifest["calibration"]["offset"] == pytest.approx(offset - 1, abs=1e-3)
    assert second.manifest["operating_point"]["target_sensitivity"] == 0.9
    # The network has one node for both offsets.
    drawing = phantom.draw(100, 192)
    odds = [np.log(p / (1 - p)) for p in (Classifier(each).probability(drawing) for each in (base, second))]
    assert second.temperature * odds[1] - odds[0] == pytest.approx(offset - 1, abs=1e-3)


def test_figures_of_shifted_copies_are_those_of_the_original_alone(base: Bundle, tmp_path: Path) -> None:
    """They were measured at its threshold, with its probabilities."""
    rest = {key: value for key, value in base.manifest.items() if key != "files"}
    rate = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
    original = bundle.write(base.directory, {**rest, "shifted": {"sensitivity": rate, "specificity": rate}})
    made = recalibrate(original, tmp_path / "new", *scores(), DIGESTS)
    assert "shifted" in original.manifest and "shifted" not in made.manifest


@pytest.mark.parametrize(
    "stated",
    [
        {"metrics": {}, "data": {}, "settings": None},
        {"settings": [7], "calibration": 3, "metrics": {"validation": [0.9], "test": 1}},
        {"calibration": {"chosen_on": "somewhere"}, "operating_point": {"threshold": 0.5, "chosen_on": "somewhere"}},
    ],
)
def test_a_bundle_of_another_program_can_be_calibrated(stated: dict[str, Any], base: Bundle, tmp_path: Path) -> None:
    rest = {key: value for key, value in base.manifest.items() if key != "files"}
    (base.directory / "MODEL_CARD.md").unlink()
    other = bundle.write(base.directory, {**rest, **stated})
    made = recalibrate(other, tmp_path / "new", *scores(), DIGESTS)
    assert own_films(made.manifest) and made.manifest["operating_point"]["target_sensitivity"] in (0.95, 0.97)
    assert "## The original" not in (made.directory / "MODEL_CARD.md").read_text()


def test_an_offset_is_added_to_any_network(tmp_path: Path) -> None:
    ours = bundle.pretrained() / bundle.NETWORK
    add_offset(ours, tmp_path / "once.onnx", 1.5)  # compares the logits
    add_offset(tmp_path / "once.onnx", tmp_path / "back.onnx", -1.5)
    assert (tmp_path / "back.onnx").stat().st_size == (tmp_path / "once.onnx").stat().st_size


@pytest.mark.parametrize("rate", ["sensitivity", "specificity"])
@pytest.mark.parametrize("value", [1.0, 0.97, 0.9, 0.75])
def test_the_fewest_films_are_those_of_the_widest_interval(rate: str, value: float) -> None:
    n = fewest(rate, value)
    for count, narrow in ((n, True), (n - 1, False)):
        low, high = wilson(value * count, count)
        assert (high - low <= calibrated.WIDEST[rate]) is narrow


@pytest.mark.parametrize(
    ("positives", "negatives", "words"),
    [
        (34, 200, "34 films with pneumonia are too few"),
        (200, 15, "15 films without are too few"),
        (0, 0, "0 films with pneumonia are too few: .*; 0 films without"),
    ],
)
def test_too_few_films_are_refused_before_they_are_scored(positives: int, negatives: int, words: str) -> None:
    with pytest.raises(TooFewFilmsError, match=words):
        require_enough(positives, negatives)
    require_enough(35, 16)


def test_a_wide_interval_is_refused_and_says_how_many_films_would_do(base: Bundle, tmp_path: Path) -> None:
    logits, labels = scores(40)
    with pytest.raises(TooFewFilmsError, match=r"40 films with pneumonia .* wider than 0\.10; about \d+ such films"):
        recalibrate(base, tmp_path / "new", logits, labels, DIGESTS)
    blind = np.random.default_rng(1).normal(0, 1, 800)  # with so many films, a useless model can be calibrated
    made = recalibrate(base, tmp_path / "other", blind, np.repeat([1, 0], 400), DIGESTS)
    assert made.manifest["metrics"]["validation"]["specificity"]["value"] < 0.2


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", -1), ("pictures", "x"), ("date", "yesterday"), ("refused", 1.5), ("patient", "Doe"), ("digests", ["x"])],
)
def test_a_bundle_with_other_films_is_refused(field: str, value: Any, made: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.directory, tmp_path / "copy"))
    rewrite(copy, put(f"calibration.films.{field}", value))
    with pytest.raises(BundleError, match=r"calibration\.films"):
        bundle.load(copy)
