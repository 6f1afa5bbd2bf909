"""The fitted section "refusal": limits of the distance, the classifier, and what is measured with them."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.bundling import refusal
from model.data import dataset
from model.data.dataset import DataSet
from model.images import refuse
from model.images.altered_films import HARMLESS, UNSUITABLE
from model.images.decode import Picture, resize
from model.images.limits import Refused

SIZE = (112, 104)  # of the input of a network


def picture(grey: Image.Image) -> Picture:
    return Picture(grey, "PNG", grey.width, grey.height, 0.0)


def is_refused(grey: Image.Image, section: dict[str, Any]) -> bool:
    try:
        refuse.check(picture(grey), refuse.with_arrays(section), resize(grey, *SIZE))
    except Refused:
        return True
    return False


def test_distance_is_mahalanobis() -> None:
    """Against the definition, on independent normal values: the mean squared distance is the dimension."""
    matrix = np.random.default_rng(2).normal(3, 2, (5000, len(refuse.NAMES)))
    fitted = refusal.by_distance(matrix)
    inverse = np.linalg.inv(np.cov(matrix.T))
    away = matrix[:50] - matrix.mean(axis=0)
    expected = np.einsum("ni,ij,nj->n", away, inverse, away)
    measured = [float(row @ np.asarray(fitted["precision"]) @ row) for row in away]
    assert measured == pytest.approx(expected, rel=0.05)
    assert np.mean(expected) == pytest.approx(len(refuse.NAMES), rel=0.1)


def test_few_pictures_and_statistics_that_never_vary_still_fit() -> None:
    drawings = [phantom.draw(seed, 96) for seed in range(6)]
    few = refusal.by_distance(np.stack([refuse.statistics(drawing, 0.0) for drawing in drawings]))
    for seed in range(100, 110):
        refuse.check(picture(phantom.draw(seed, 96)), few, Image.new("L", SIZE))
    with pytest.raises(Refused):
        refuse.check(picture(Image.new("L", (96, 96))), few, phantom.draw(1, 96))


@pytest.mark.parametrize("matrix", [np.zeros((5, 3)), np.zeros((1, len(refuse.NAMES)))])
def test_fit_refuses_other_shapes(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite statistics"):
        refusal.by_distance(matrix)


def test_fit_refuses_what_is_no_number() -> None:
    matrix = np.zeros((5, len(refuse.NAMES)))
    matrix[2, 7] = np.nan
    with pytest.raises(ValueError, match="finite statistics"):
        refusal.by_distance(matrix)


def test_the_limits_are_quantiles_of_the_validation_films_and_their_harmless_copies() -> None:
    matrix = np.random.default_rng(4).normal(3, 2, (6000, len(refuse.NAMES)))
    width, films, accepted = len(refuse.NAMES), matrix[2000:4000], 1.2 * matrix[2000:]
    section = refusal.by_distance(matrix[:2000])
    tables = {"weights": [refuse.packed(np.eye(width)[:, :1])], "biases": [refuse.packed(np.zeros(1))]}
    first = {"mean": [0.0] * width, "spread": [1.0] * width, "layers": [width, 1], **tables}
    chosen = refusal.limits(films, accepted, section | {"classifier": first})
    assert chosen["limit"] == section["limit"]
    wider = refusal.limits(films, 2 * accepted, section | {"classifier": first})["limit"]
    assert np.mean(refusal.distances(2 * accepted, section) > wider) == pytest.approx(0.005, abs=0.0005)
    assert np.mean(refusal.distances(films, section) > chosen["caution_limit"]) == pytest.approx(0.05, abs=0.001)
    assert np.mean(np.clip(accepted[:, 0], -8, 8) > chosen["classifier"]["limit"]) <= 0.005
    drawing = phantom.draw(1, 96)
    alone = refusal.distances(refuse.statistics(drawing, 0.0)[np.newaxis], section)[0]
    assert refuse.check(picture(drawing), {**section, "limit": np.inf}, drawing).distance == pytest.approx(alone)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    root = tmp_path_factory.mktemp("drawings") / "tree"
    phantom.tree(root, patients=50, seed=5)
    return dataset.split(dataset.load(root), 0.3, 7)


@pytest.fixture(scope="module", autouse=True)
def _fewer_drawings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refusal, "LEAST_TRAINING", 80)
        patch.setattr(refusal, "LEAST_VALIDATION", 30)
        patch.setattr(refusal, "DRAWINGS", {"train": range(10_000, 10_060), "validation": range(20_000, 20_040)})
        yield


@pytest.fixture(scope="module")
def fitted(drawings: DataSet) -> dict[str, Any]:
    return refusal.fit(drawings, 7, SIZE)


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_each_unsuitable_kind_is_refused(fitted: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(8)
    copies = [UNSUITABLE[kind](phantom.draw(seed, 96, seed % 2 == 0), rng) for seed in range(500, 520)]
    assert np.mean([is_refused(copy, fitted) for copy in copies]) >= 0.9


@pytest.mark.parametrize("kind", HARMLESS)
def test_each_harmless_kind_is_accepted(fitted: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(9)
    copies = [HARMLESS[kind](phantom.draw(seed, 96, seed % 2 == 0), rng) for seed in range(500, 520)]
    assert np.mean([is_refused(copy, fitted) for copy in copies]) <= 0.1


def test_what_is_measured_is_what_serving_refuses(fitted: dict[str, Any], drawings: DataSet) -> None:
    samples = drawings.part("validation")
    refused = sum(is_refused(dataset.read(sample), fitted) for sample in samples)
    measured = fitted["measured"]
    assert measured["films"]["n"] == len(samples)
    assert measured["films"]["value"] == pytest.approx(refused / len(samples))
    assert set(measured["unsuitable"]) == set(UNSUITABLE) and set(HARMLESS) < set(measured["harmless"])
    assert all(rate["n"] == len(samples) for rate in measured["unsuitable"].values())
    assert 0 < fitted["caution_limit"] < fitted["limit"]


def test_the_exposures_are_those_of_nearly_all_validation_films(fitted: dict[str, Any], drawings: DataSet) -> None:
    films = [refuse.statistics(resize(dataset.read(sample), *SIZE), 0.0) for sample in drawings.part("validation")]
    assert set(fitted["exposure"]) == {"mean", "spread"}
    for name, limits in fitted["exposure"].items():
        values = np.array(films)[:, refuse.NAMES.index(name)]
        assert limits == pytest.approx([np.quantile(values, 0.005), np.quantile(values, 0.995)])
        assert values.min() < limits[0] < limits[1] < values.max()


def test_the_section_survives_json(fitted: dict[str, Any]) -> None:
    again = json.loads(json.dumps(fitted, allow_nan=False))
    assert again == fitted
    values = refuse.statistics(phantom.draw(3, 128), 0.0)[np.newaxis]
    assert refusal.scores(values, again) == refusal.scores(values, fitted)


def test_the_same_films_give_the_same_section(fitted: dict[str, Any], drawings: DataSet) -> None:
    assert refusal.fit(drawings, 7, SIZE) == fitted


def test_few_films_give_no_classifier(drawings: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "LEAST_VALIDATION", 10_000)
    assert set(refusal.fit(drawings, 7, SIZE)) == {"names", "mean", "precision", "limit", "of_input"}


def test_the_stored_weights_score_as_scikit_learn_does() -> None:
    from sklearn.neural_network import MLPClassifier

    rng, trained = np.random.default_rng(1), []

    class Kept(MLPClassifier):
        def fit(self, rows: np.ndarray, labels: np.ndarray) -> "Kept":
            trained.append((self, rows))
            return super().fit(rows, labels)

    suitable, unsuitable = rng.normal(0, 1, (200, 73)), rng.normal(1, 3, (200, 73))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.neural_network.MLPClassifier", Kept)
        classifier = refusal.train_classifier(suitable, unsuitable, seed=1)
    network, rows = trained[0]
    section = {"mean": [], "precision": [], "classifier": classifier}
    chances = 1 / (1 + np.exp(-refusal.scores(np.concatenate([suitable, unsuitable]), section)))
    assert chances == pytest.approx(network.predict_proba(rows)[:, 1], abs=1e-4)
