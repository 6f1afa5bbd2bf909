"""Refusals by statistics: drawings and real chest films pass, everything else is caught."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model import phantom
from model.bundling import refusal
from model.images import refuse
from model.images.decode import Picture, decode, resize
from model.images.limits import Refused


def picture(grey: Image.Image, colourful: float = 0.0) -> Picture:
    return Picture(grey, "PNG", grey.width, grey.height, colourful)


def check(film: Picture, section: dict[str, Any]) -> refuse.Appearance:
    """How a film looks by a section of an older bundle, whose statistics are those of the film as it is."""
    return refuse.check(film, section, Image.new("L", (64, 64)))


@pytest.fixture(scope="module")
def block() -> dict[str, Any]:
    drawings = [phantom.draw(seed, 160, seed % 2 == 0) for seed in range(200)]
    return refusal.by_distance(np.stack([refuse.statistics(drawing, 0.0) for drawing in drawings]))


def test_statistics_are_named_and_finite_for_any_picture() -> None:
    for grey in (Image.new("L", (64, 64)), Image.new("L", (300, 70), 255), phantom.draw(1, 200)):
        values = refuse.statistics(grey, 0.0)
        assert values.shape == (len(refuse.NAMES),) and values.dtype == np.float64
        assert np.isfinite(values).all()
    assert len(set(refuse.NAMES)) == len(refuse.NAMES)


def test_statistics_say_what_their_names_promise() -> None:
    half = Image.new("L", (128, 128))
    half.paste(255, (0, 0, 64, 128))
    values = dict(zip(refuse.NAMES, refuse.statistics(half, 0.3), strict=True))
    assert values["mean"] == pytest.approx(0.5) and values["spread"] == pytest.approx(0.5)
    assert values["entropy"] == pytest.approx(1.0)
    assert values["mirror_symmetry"] == pytest.approx(-1.0, abs=1e-3)
    assert values["colourful"] == 0.3
    assert values["cell_0_0"] == values["cell_7_3"] == -values["cell_0_4"] == -values["cell_7_7"] > 0.9


def test_statistics_hardly_depend_on_the_resolution() -> None:
    small, large = (refuse.statistics(phantom.draw(3, size), 0.0) for size in (256, 1024))
    assert np.abs(small - large).max() < 0.25


def test_new_drawings_pass(block: dict[str, Any]) -> None:
    for seed in range(1000, 1040):
        check(picture(phantom.draw(seed, 256, seed % 2 == 0)), block)


def shapes() -> Image.Image:
    canvas = Image.new("L", (400, 300), 255)
    pen = ImageDraw.Draw(canvas)
    for at in range(20, 280, 20):
        pen.line((30, at, 370, at), fill=0, width=3)
    return canvas


STRANGERS = {
    "black": Image.new("L", (200, 200)),
    "white": Image.new("L", (200, 200), 255),
    "grey": Image.new("L", (200, 200), 128),
    "lines of a page": shapes(),
    "noise": Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200), dtype=np.uint8)),
    "gradient": Image.linear_gradient("L"),
    "ring": Image.radial_gradient("L"),
    "inverted": phantom.draw(5, 256).point(lambda value: 255 - value),
    "upside down": phantom.draw(5, 256).rotate(180),
    "on its side": phantom.draw(5, 256).rotate(90),
    "a corner of it": phantom.draw(5, 256).crop((0, 0, 90, 90)),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_pictures_of_other_subjects_are_refused(block: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as caught:
        check(picture(STRANGERS[name]), block)
    assert caught.value.code == "not_an_xray"


def test_colours_are_refused_whatever_the_statistics(block: dict[str, Any]) -> None:
    drawing = phantom.draw(1000, 256)
    check(picture(drawing, colourful=0.004), block)
    with pytest.raises(Refused, match="colours"):
        check(picture(drawing, colourful=0.06), block | {"limit": 1e12})


def test_a_nan_distance_is_refused(block: dict[str, Any]) -> None:
    broken = block | {"mean": [float("nan")] * len(refuse.NAMES)}
    with pytest.raises(Refused):
        check(picture(phantom.draw(1000, 256)), broken)


def test_block_survives_json(block: dict[str, Any]) -> None:
    again = json.loads(json.dumps(block, allow_nan=False))
    drawing = picture(phantom.draw(1000, 256))
    assert check(drawing, again) == check(drawing, block)
    assert set(block) == {"names", "mean", "precision", "limit"}


def test_the_score_is_that_of_a_perceptron(block: dict[str, Any]) -> None:
    """Against the definition, on one picture; a score above the limit refuses, and so does a NaN."""
    rng, width = np.random.default_rng(3), len(refuse.NAMES)
    weights, biases = [rng.normal(size=(width, 5)), rng.normal(size=(5, 1))], [rng.normal(size=5), rng.normal(size=1)]
    classifier = {"mean": np.zeros(width), "spread": np.full(width, 0.5), "weights": weights, "biases": biases}
    drawing = phantom.draw(1000, 256)
    inputs = np.clip(refuse.statistics(drawing, 0.0) / 0.5, -8, 8)
    expected = float(np.maximum(inputs @ weights[0] + biases[0], 0) @ weights[1][:, 0] + biases[1][0])
    assert refuse.score(refuse.statistics(drawing, 0.0), classifier) == pytest.approx(expected)
    check(picture(drawing), block | {"classifier": classifier | {"limit": expected + 1e-6}})
    for limit in (expected - 1e-6, float("nan")):
        with pytest.raises(Refused, match="whole, upright"):
            check(picture(drawing), block | {"classifier": classifier | {"limit": limit}})


def test_a_refusal_costs_no_import() -> None:
    """The fitting and scikit-learn stay away from a process that serves."""
    import subprocess

    code = "import sys, model.serving.predict; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "model.images.refuse" in loaded
    assert not {"sklearn", "scipy", "model.bundling.refusal", "model.images.altered_films"} & loaded


@pytest.fixture(scope="module")
def real(data_root: Path) -> dict[str, Any]:
    """A block of 1500 real training films; "held_out": others, of other patients."""
    with (data_root / "kermany224" / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    paths: dict[bool, list[Path]] = {False: [], True: []}
    for row in rows:
        digits = int("".join(letter for letter in row["patient_id"] if letter.isdigit()))
        paths[digits % 5 == 0].append(data_root / "kermany224" / "train" / row["label"] / row["file"])
    pictures = [decode(path.read_bytes()) for path in paths[False][:: len(paths[False]) // 1500]]
    fitted = refusal.by_distance(np.stack([refuse.statistics(sample.grey, sample.colourful) for sample in pictures]))
    return {"block": fitted, "held_out": paths[True]}


def refused(paths: list[Path], block: dict[str, Any]) -> list[str]:
    names = []
    for path in paths:
        try:
            check(decode(path.read_bytes()), block)
        except Refused:
            names.append(path.name)
    return names


def test_real_films_of_other_patients_pass(real: dict[str, Any]) -> None:
    paths = real["held_out"][::2]
    assert len(paths) > 400
    assert len(refused(paths, real["block"])) <= len(paths) // 200  # 0.5 %


def test_overexposed_and_darkened_films_pass(real: dict[str, Any]) -> None:
    changes = (lambda value: min(255, int(value * 1.3)), lambda value: max(0, int(value * 1.3 - 60)))
    films = [decode(path.read_bytes()).grey for path in real["held_out"][::25]]
    for change in changes:
        changed = np.stack([refuse.statistics(film.point(change), 0.0) for film in films])
        missed = np.count_nonzero(refusal.distances(changed, real["block"]) > real["block"]["limit"])
        assert missed <= 1 < 30 < len(films)


def test_most_adults_films_of_another_country_pass(real: dict[str, Any], data_root: Path) -> None:
    paths = sorted((data_root / "external" / "nih_dev").glob("*/*.jpg"))[::2]
    assert len(refused(paths, real["block"])) <= len(paths) // 20


def test_pictures_that_are_no_films_are_caught(real: dict[str, Any], data_root: Path) -> None:
    every = (data_root / "ood").rglob("*")  # side views of a chest are films; nothing in them says which view they are
    paths = sorted(path for path in every if path.suffix in {".png", ".jpg"} and "lateral_chest" not in path.parts)
    missed = {path.name for path in paths} - set(refused(paths, real["block"]))
    assert len(paths) == 17 and len(missed) <= 1, missed


def test_film_of_the_wrong_polarity_is_caught(real: dict[str, Any], data_root: Path) -> None:
    folder = data_root / "dicom"
    assert refused(sorted((folder / "broken").glob("mislabelled*")), real["block"])
    assert not refused(sorted((folder / "chest").glob("*.dcm")), real["block"])


def test_drawings_pass_for_real_films(real: dict[str, Any]) -> None:
    for seed in (*range(20), 7):
        check(picture(phantom.draw(seed, 512, seed % 2 == 1)), real["block"])


def test_the_entropy_is_that_of_64_equal_ranges() -> None:
    grey = phantom.draw(5, 300, opacity=True)
    shares = np.histogram(np.asarray(grey.resize((128, 128), 2)), bins=64, range=(0, 256))[0] / 128**2
    shares = shares[shares > 0]
    measured = refuse.statistics(grey, 0.0)[refuse.NAMES.index("entropy")]
    assert measured == -(shares * np.log2(shares)).sum()


def test_sums_of_whole_numbers_give_what_fractions_would() -> None:
    for seed in range(20):
        grey = phantom.draw(seed, 224, seed % 2 == 0)
        values = dict(zip(refuse.NAMES, refuse.statistics(grey, 0.0), strict=True))
        light = np.asarray(resize(grey, refuse.SIDE, refuse.SIDE), np.float64) / 255
        cells = light.reshape(8, 16, 8, 16).mean(axis=(1, 3))
        expected = {"mean": light.mean(), "spread": light.std()}
        expected["fine_edges"] = np.log(sum(np.abs(np.diff(light, axis=axis)).mean() + 1e-4 for axis in (0, 1)))
        centred = light - light.mean()
        expected["mirror_symmetry"] = (centred * centred[:, ::-1]).sum() / ((centred**2).sum() + 1e-6)
        expected["cell_2_3"] = ((cells - cells.mean()) / (cells.std() + 0.02))[2, 3]
        assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-12)
