"""Measure the section "heat_map" of a bundle: the mean map of films, and whether a film's own map says more than it.

The occlusion test covers the strongest cells of several maps on films called pneumonia. The further the logit drops,
the better a map names what the score depends on. Cells that are strongest on average in other films know nothing of
the film: what they reach is what a map says of every chest.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from model.data.dataset import Sample, read
from model.evaluation.calibrate import sigmoid
from model.evaluation.intervals import Interval
from model.heat_map_section import GRID, SELECTIONS
from model.serving.occlusion import Cells, cells, drops
from model.serving.predict import Classifier

MOST_FILMS = 200  # to bound the time: each film is scored 65 times
LEAST_FILMS, LEAST_CALLED = 100, 30  # below there is no section, and no occlusion test
COVERED = 8  # cells, an eighth of the map
_RESAMPLES = 2000


class Mapped(NamedTuple):
    """A film cut into cells, the logit of the whole film, and its map."""

    cut: Cells
    logit: float
    heat: np.ndarray


def section(classifier: Classifier, films: Sequence[Sample], seed: int) -> dict[str, Any]:
    """{"heat_map": the section of a bundle} from at most MOST_FILMS films in a seeded order; {} if there are too few.

    classifier: with its threshold. The same arguments give the same section.
    """
    if len(films) < LEAST_FILMS:
        return {}
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(films))[:MOST_FILMS]
    mapped = [map_film(classifier, films[index]) for index in chosen]
    maps = np.stack([film.heat for film in mapped])
    measured: dict[str, Any] = {"mean": _rounded(maps.mean(axis=0)), "films": len(mapped)}
    bundle = classifier.bundle
    probabilities = sigmoid(np.array([film.logit for film in mapped]), bundle.temperature)
    called = np.flatnonzero(probabilities >= bundle.threshold)
    if len(called) >= LEAST_CALLED:
        chosen_cells = [selections(maps, film, rng) for film in called]
        lost = [drop(classifier, mapped[film], each) for film, each in zip(called, chosen_cells, strict=True)]
        measured["occlusion_test"] = summary(np.array(lost), rng)
    return {"heat_map": measured}


def map_film(classifier: Classifier, film: Sample) -> Mapped:
    """Score a film, whole and with each cell covered."""
    bundle = classifier.bundle
    cut = cells(read(film), bundle.height, bundle.width)
    return Mapped(cut, float(classifier.logits(cut.pixels[np.newaxis])[0]), drops(classifier, cut))


def selections(maps: np.ndarray, film: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The COVERED cells of each of SELECTIONS for one film, from the maps of all films, float [films, GRID, GRID].

    The mean map is that of the other films, as for a film that the bundle has not seen.
    """
    own = maps[film].ravel().astype(np.float64)
    others = np.delete(maps, film, axis=0).mean(axis=0, dtype=np.float64).ravel()
    by_name = {"own": own, "own_minus_mean": own - others, "mean_of_others": others, "random": rng.random(GRID**2)}
    return [np.argsort(-by_name[name], kind="stable")[:COVERED] for name in SELECTIONS]


def drop(classifier: Classifier, film: Mapped, chosen: Sequence[np.ndarray]) -> np.ndarray:
    """How much the logit of a film drops if these cells are covered together, float [len(chosen)]."""
    return film.logit - classifier.logits(np.stack([film.cut.covered(each) for each in chosen]))


def summary(lost: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """The mean drops of the logit, and what the mean map reaches of the own map, from drops float [films, SELECTIONS].

    Intervals are percentiles of the bootstrap over films; the same samples of films serve for all of them.
    """
    films = len(lost)
    means = np.stack([lost[rng.integers(0, films, films)].mean(axis=0) for _ in range(_RESAMPLES)])
    means = np.concatenate([lost.mean(axis=0)[np.newaxis], means])
    drops_by_name = {name: _interval(means[:, index], films) for index, name in enumerate(SELECTIONS)}
    own, others = (means[:, SELECTIONS.index(name)] for name in ("own", "mean_of_others"))
    # A network that is the same for every picture drops nowhere: there is nothing to divide by.
    ratio = _interval(others / own, films) if drops_by_name["own"]["low"] > 0 and own.min() > 0 else None
    return {"cells": COVERED, "drops": drops_by_name, "ratio": ratio}


def _interval(values: np.ndarray, n: int) -> Interval:
    """The first value with the 95 % interval of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": float(values[0]), "low": float(low), "high": float(high), "n": n}


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in values]


_TITLES = {
    "own": "its own map",
    "own_minus_mean": "its own map less the mean map of the other films",
    "mean_of_others": "the mean map of the other films",
    "random": "none: random cells",
}


def text(measured: Mapping[str, Any]) -> str:
    """What the model card says of heat maps, as Markdown."""
    head = (
        f"A heat map tells how far the logit drops when one of {GRID} x {GRID} cells is covered with the mean "
        f"brightness of the picture. The mean map of {measured['films']} validation films, chosen at random, is "
        "subtracted from every map that is shown."
    )
    if "occlusion_test" not in measured:
        return f"{head} Fewer than {LEAST_CALLED} of them are called pneumonia, too few to test the map."
    test = measured["occlusion_test"]
    rows = [
        f"| {_TITLES[name]} | {lost['value']:.2f} | {lost['low']:.2f} to {lost['high']:.2f} | {lost['n']} |"
        for name, lost in ((name, test["drops"][name]) for name in SELECTIONS)
    ]
    how = (
        f"Test: on each of these films that is called pneumonia, the {test['cells']} strongest cells of a map are "
        "covered together; each row is another map. A map that names what the score depends on makes the logit drop "
        "far. Intervals: bootstrap over films."
    )
    table = ["| cells chosen by | mean drop of the logit | 95 % interval | films |", "| --- | ---: | ---: | ---: |"]
    return "\n\n".join([head, how, "\n".join([*table, *rows]), _meaning(test["ratio"])])


def _meaning(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return "Covering these cells does not surely lower the logit: the map says nothing about this model."
    measured = (
        f"The mean map of the other films reaches {ratio['value']:.0%} ({ratio['low']:.0%} to {ratio['high']:.0%}) of "
        "the drop that a film's own map reaches. "
    )
    if ratio["low"] > 0.5:
        return measured + (
            "An own map thus mostly says where the centre of any chest is, and little about its film. That part is "
            "subtracted from the maps that are shown; what is left does not show where a disease is."
        )
    if ratio["high"] < 0.5:
        return measured + "Most of what an own map says is about its film. It still does not show where a disease is."
    return measured + "That does not tell whether an own map says more about its film than about any chest."
