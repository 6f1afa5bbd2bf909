"""The mean heat map and its occlusion test, measured with networks whose maps are known."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model import heat_map_section, phantom
from model.bundling import heat_map
from model.bundling.heat_map import COVERED, LEAST_CALLED, LEAST_FILMS
from model.data import dataset
from model.data.dataset import Sample
from model.heat_map_section import GRID, SELECTIONS
from model.serving.occlusion import occlusion
from model.serving.predict import Classifier

FILMS = 110  # enough for a section


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    """Drawings, two thirds of them with an opacity."""
    root = tmp_path_factory.mktemp("films")
    for number in range(FILMS):
        kind = "NORMAL" if number % 3 == 0 else "PNEUMONIA"
        path = root / "train" / kind / f"person{number}_virus_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(phantom.png(number, 96, opacity=number % 3 != 0))
    return dataset.load(root).part("train")


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    return Classifier.open(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def measured(classifier: Classifier, films: tuple[Sample, ...]) -> dict[str, Any]:
    return heat_map.section(classifier, films, seed=7)["heat_map"]


def test_the_mean_map_is_that_of_the_films(
    classifier: Classifier, films: tuple[Sample, ...], measured: dict[str, Any]
) -> None:
    mean = np.mean([occlusion(classifier, dataset.read(film)) for film in films], axis=0)
    assert np.asarray(measured["mean"]) == pytest.approx(mean, abs=1e-4)
    assert measured["films"] == FILMS


def test_the_section_is_one_that_a_bundle_accepts(measured: dict[str, Any]) -> None:
    heat_map_section.check({"heat_map": json.loads(json.dumps(measured, allow_nan=False))})


def test_the_films_that_are_called_pneumonia_are_tested(
    classifier: Classifier, films: tuple[Sample, ...], measured: dict[str, Any]
) -> None:
    called = sum(classifier.probability(dataset.read(film)) >= classifier.bundle.threshold for film in films)
    assert LEAST_CALLED < called < FILMS
    drops = measured["occlusion_test"]["drops"]
    assert {interval["n"] for interval in (*drops.values(), measured["occlusion_test"]["ratio"])} == {called}


def test_an_own_map_reaches_most_in_a_linear_network(measured: dict[str, Any]) -> None:
    """There the cells add up, so that no other choice reaches more."""
    means = {name: interval["value"] for name, interval in measured["occlusion_test"]["drops"].items()}
    assert means["own"] > means["mean_of_others"] > means["random"] and means["own"] > means["own_minus_mean"]
    ratio = measured["occlusion_test"]["ratio"]
    assert ratio["value"] == pytest.approx(means["mean_of_others"] / means["own"])
    assert ratio["low"] < ratio["value"] < ratio["high"] < 1


def test_the_same_films_give_the_same_section_and_another_seed_another_order(
    classifier: Classifier, films: tuple[Sample, ...], measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert heat_map.section(classifier, films, seed=7)["heat_map"] == measured
    monkeypatch.setattr(heat_map, "MOST_FILMS", 40)
    few = [heat_map.section(classifier, films, seed)["heat_map"] for seed in (7, 8)]
    assert few[0]["films"] == 40 and few[0]["mean"] != few[1]["mean"]


def test_too_few_films_give_no_section(classifier: Classifier, films: tuple[Sample, ...]) -> None:
    assert heat_map.section(classifier, films[: LEAST_FILMS - 1], seed=7) == {}


def test_too_few_films_called_pneumonia_are_not_tested(
    classifier: Classifier, films: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heat_map, "LEAST_CALLED", FILMS)
    section = heat_map.section(classifier, films, seed=7)["heat_map"]
    assert set(section) == {"mean", "films"}
    assert "too few to test" in heat_map.text(section)


def test_each_selection_takes_the_strongest_cells_of_its_map() -> None:
    maps = np.zeros((3, GRID, GRID))
    maps[0].flat[:8], maps[1].flat[4:12], maps[2].flat[4:12] = 5, 6, 6
    chosen = dict(zip(SELECTIONS, heat_map.selections(maps, 0, np.random.default_rng(1)), strict=True))
    assert set(chosen["own"]) == set(range(8))
    assert set(chosen["mean_of_others"]) == set(range(4, 12))
    assert set(chosen["own_minus_mean"]) >= {0, 1, 2, 3} and not set(chosen["own_minus_mean"]) & set(range(4, 12))
    assert len(set(chosen["random"])) == COVERED and set(chosen["random"]) < set(range(64))


def test_a_film_has_no_say_in_the_mean_map_of_the_others() -> None:
    maps = np.zeros((3, GRID, GRID))
    maps[0].flat[:8], maps[1].flat[4:12] = 50, 1
    chosen = dict(zip(SELECTIONS, heat_map.selections(maps, 0, np.random.default_rng(1)), strict=True))
    assert set(chosen["mean_of_others"]) == set(range(4, 12))


def test_the_cells_are_covered_together() -> None:
    """A network that reacts to nothing but two cells at once."""
    cut = SimpleNamespace(covered=lambda chosen: np.full((4, 4, 1), len(list(chosen)), dtype=np.float32))
    network = SimpleNamespace(logits=lambda batch: -batch[:, 0, 0, 0])
    film = heat_map.Mapped(cut, 1.5, np.zeros((8, 8)))
    assert heat_map.drop(network, film, [np.arange(2), np.arange(5)]) == pytest.approx([3.5, 6.5])


def test_intervals_cover_the_true_means() -> None:
    rng, truth = np.random.default_rng(3), np.array([4.0, 3.0, 2.0, 1.0])
    hits = np.zeros(5)
    for _ in range(200):
        test = heat_map.summary(truth + rng.normal(0, 1, (40, 4)), rng)
        intervals = [*(test["drops"][name] for name in SELECTIONS), test["ratio"]]
        hits += [low["low"] <= true <= low["high"] for low, true in zip(intervals, [*truth, 0.5], strict=True)]
    assert (hits >= 176).all() and (hits < 200).all(), hits  # 95 % of 200 less 4 standard errors


def test_a_network_that_never_reacts_has_no_ratio() -> None:
    test = heat_map.summary(np.zeros((40, 4)), np.random.default_rng(1))
    assert test["ratio"] is None
    assert "does not surely lower the logit" in heat_map.text({"films": 150, "occlusion_test": test})


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        ((0.87, 0.84, 0.89), "mostly says where the centre of any chest is"),
        ((0.3, 0.2, 0.4), "Most of what an own map says is about its film"),
        ((0.5, 0.4, 0.6), "does not tell"),
    ],
)
def test_the_card_says_what_the_test_means(measured: dict[str, Any], ratio: tuple[float, ...], words: str) -> None:
    drops = measured["occlusion_test"]["drops"]
    test = {**measured["occlusion_test"], "ratio": dict(zip(("value", "low", "high"), ratio, strict=True))}
    text = heat_map.text({**measured, "occlusion_test": test})
    assert words in text and f"{ratio[0]:.0%} ({ratio[1]:.0%} to {ratio[2]:.0%})" in text
    for interval in drops.values():
        assert (
            f"| {interval['value']:.2f} | {interval['low']:.2f} to {interval['high']:.2f} | {interval['n']} |" in text
        )
