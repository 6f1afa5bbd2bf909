"""Exports: equal to Keras or refused, reproducible, and with every figure and statement."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model import bundle as bundles
from model import export
from model.bundling import heat_map, provenance
from model.bundling import trained as trained_networks
from model.bundling.trained import Trained
from model.data import attribution, dataset, shifted
from model.evaluation import calibrate
from model.serving.occlusion import occlusion
from model.serving.predict import Classifier
from model.settings import TrainSettings
from tests.model.export.small_export import HISTORY, ORIGIN
from tests.model.small_network import SIDE

# Keras 3 asks TensorFlow for arrays in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def test_a_bundle_serves_the_models_logits_calibrated_on_shifted_copies(built, model, drawings) -> None:
    samples = drawings.part("validation")
    copies, labels = shifted.arrays(samples, SIDE, SIDE, built.manifest["settings"]["seed"] + 1)
    temperature, offset = calibrate.calibration(np.asarray(model(copies.astype("float32")))[:, 0], labels)
    raw = np.asarray(model(dataset.arrays(samples, SIDE, SIDE)[0].astype("float32")))[:, 0]
    assert built.temperature == pytest.approx(temperature, rel=1e-3)
    assert built.manifest["calibration"] == {
        "chosen_on": "shifted validation",
        "offset": pytest.approx(offset, rel=1e-3),
    }
    served = [Classifier(built).probability(dataset.read(sample)) for sample in samples]
    assert served == pytest.approx(calibrate.sigmoid(raw + offset, temperature), abs=1e-4)


def test_a_bundle_is_whole_and_opens_as_serving_opens_it(built: bundles.Bundle) -> None:
    again = bundles.load(built.directory, deep=True)
    assert again.manifest == built.manifest
    names = {"model.keras", "model.onnx", "MODEL_CARD.md", "report/history.png"}
    plots = ("roc", "precision_recall", "confusion", "calibration")
    names |= {f"report/{part}_{plot}.png" for part in ("validation", "test") for plot in plots}
    assert set(built.manifest["files"]) == names
    measured, expected, tolerance = Classifier(again).self_check()
    assert measured == pytest.approx(expected, abs=1e-6) and tolerance == 0.01
    assert built.manifest["settings"]["height"] == SIDE and built.manifest["created"] == ORIGIN.created


def test_the_operating_point_comes_from_validation_alone(built: bundles.Bundle, drawings: dataset.DataSet) -> None:
    """Another test part must not move it; that both parts are measured at it is checked by counting again."""
    classifier = Classifier(built)
    for part in ("validation", "test"):
        samples = drawings.part(part)
        served = np.array([classifier.probability(dataset.read(sample)) for sample in samples])
        labels = np.array([sample.label for sample in samples])
        metrics = built.manifest["metrics"][part]
        assert metrics["n"] == len(samples)
        assert metrics["confusion"]["tp"] == np.sum((served >= built.threshold) & (labels == 1))
        assert metrics["confusion"]["fp"] == np.sum((served >= built.threshold) & (labels == 0))
    point = built.manifest["operating_point"]
    assert (point["chosen_on"], point["target_sensitivity"]) == ("shifted validation", 0.97)
    assert point["sensitivity"] == built.manifest["metrics"]["validation"]["sensitivity"]
    assert built.manifest["shifted"]["n"] == len(drawings.part("validation"))


def test_the_same_inputs_give_the_same_version_and_the_test_part_is_read_when_asked_only(
    model, settings: TrainSettings, drawings: dataset.DataSet, built: bundles.Bundle, tmp_path: Path
) -> None:
    (tmp_path / ".again.part").mkdir()
    (tmp_path / ".again.part" / "left").write_text("by a killed export")
    again = export.build_bundle(
        model, settings, drawings, tmp_path / "again", "small", test=True, history=HISTORY, origin=ORIGIN
    )
    assert not (tmp_path / ".again.part").exists() and "left" not in again.manifest["files"]
    assert again.version == built.version and again.manifest == built.manifest
    unread = SimpleNamespace(**vars(drawings))
    unread.part = lambda name: drawings.part(name) if name != "test" else [SimpleNamespace(patient="untouched")]
    plain = export.build_bundle(model, settings, unread, tmp_path / "plain", "small", origin=ORIGIN)
    assert plain.manifest["metrics"]["test"] is None
    assert plain.threshold == built.threshold and plain.temperature == built.temperature
    assert "Not measured" in (plain.directory / "MODEL_CARD.md").read_text()
    assert not [name for name in plain.manifest["files"] if name.startswith("report/test")]


def test_the_card_states_what_was_measured(built: bundles.Bundle) -> None:
    card = (built.directory / "MODEL_CARD.md").read_text()
    manifest = built.manifest
    assert "Not a medical device" in card and "no X-rays" in card
    assert manifest["data"]["manifest_sha256"] in card and manifest["code_version"] in card
    for part in ("validation", "test"):
        metrics = manifest["metrics"][part]
        assert f"### {part.capitalize()}: {metrics['n']} pictures, {metrics['positives']} with pneumonia" in card
        for title, key in (("AUC", "auc"), ("sensitivity", "sensitivity"), ("F1", "f1")):
            figure = metrics[key]
            row = f"| {title} | {figure['value']:.3f} | {figure['low']:.3f} to {figure['high']:.3f} | {figure['n']} |"
            assert row in card
    assert f"{built.threshold:.6g}" in card and f"{built.temperature:.4g}" in card
    for name in re.findall(r"\(report/([a-z_]+\.png)\)", card):
        assert (built.directory / "report" / name).is_file()
    assert str(Path.home()) not in card and "/tmp" not in card


def test_the_operating_points_are_named_and_measured_on_both_parts(built: bundles.Bundle) -> None:
    points, metrics = built.manifest["operating_points"], built.manifest["metrics"]
    assert list(points) == ["balanced", "screening"]
    assert points["balanced"]["threshold"] == built.threshold >= points["screening"]["threshold"]
    for part in ("validation", "test"):
        assert points["balanced"][part] == {name: metrics[part][name] for name in ("sensitivity", "specificity")}
    assert {point["chosen_on"] for point in points.values()} == {"shifted validation"}
    card = (built.directory / "MODEL_CARD.md").read_text()
    assert "| balanced | validation |" in card and "| screening | test |" in card
    assert "The other thresholds in the table below were chosen on the same films." in card


def test_the_card_of_kermanys_pictures_names_them_and_their_limits(built: bundles.Bundle) -> None:
    from model.bundling import card

    facts = {
        **built.manifest["data"],
        "attribution": attribution.SOURCES["kermany"],
        "patient_numbers_in_test_too": 170,
    }
    text = card.text({**built.manifest, "data": facts}, "a command", ["history.png"])
    assert "10.17632/rscbjbr9sj" in text and "CC BY 4.0" in text
    assert "Trained on children aged 1 to 5 from one hospital" in text
    assert "170 numbers of the official test part" in text


@pytest.mark.parametrize(
    ("source", "given", "ages"),
    [
        *(("kermany", None, [1, 5]), (attribution.SOURCES["kermany"], None, [1, 5]), ("pneumoniamnist", None, [1, 5])),
        *(("drawings", None, None), ("My pictures", None, None), ("", None, None)),
        *(("My pictures", (18, 90), [18, 90]), ("kermany", [2, 4], [2, 4])),
    ],
)
def test_the_manifest_has_the_ages_that_the_publishers_state_or_that_were_given(
    model, settings: TrainSettings, drawings: dataset.DataSet, source: str, given, ages: list[int] | None
) -> None:
    manifest = export._describe(model, settings, drawings, "small", provenance.Origin(source=source, ages=given))
    assert manifest["data"].get("ages") == ages
    assert ("X-rays for signs" in manifest["intended_use"]) == (ages is None)


def test_a_bundle_without_ages_is_made_with_a_warning(
    settings, drawings, built: bundles.Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import keras

    model = keras.models.load_model(built.directory / "model.keras", compile=False)
    given = provenance.Origin(source="Films of our hospital", ages=[18, 90])
    made = export.build_bundle(model, settings, drawings, tmp_path / "b", "small", origin=given, base=built)
    assert made.ages == (18, 90) and not [record for record in caplog.records if "--ages" in record.message]
    card = (made.directory / "MODEL_CARD.md").read_text()
    assert "X-rays of patients aged 18 to 90 for signs" in card and "Trained on patients aged 18 to 90." in card
    assert card.count("--ages 18 90") == 2
    unknown = provenance.Origin(source="Films of our hospital")
    made = export.build_bundle(model, settings, drawings, tmp_path / "c", "small", origin=unknown, base=built)
    assert made.ages is None and "are not described here" in (made.directory / "MODEL_CARD.md").read_text()
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "states no ages" in warning.message and "--ages LOW HIGH" in warning.message


def test_source_and_ages_are_those_of_the_options_then_of_what_is_exported(
    drawings: dataset.DataSet, built: bundles.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = Trained(None, None, drawings, "name", source="kermany", ages=[2, 4])
    origins = []
    monkeypatch.setattr(trained_networks, "open_trained", lambda *_: trained)
    monkeypatch.setattr(export, "build_bundle", lambda *_, origin, **__: origins.append(origin) or built)
    for words in ((), ("--source", "Ours"), ("--ages", "18", "90")):
        assert export.main(["run", "data", "--out", str(tmp_path / "b"), *words]) == 0
    assert [(origin.source, origin.ages) for origin in origins] == [
        ("kermany", [2, 4]),
        ("Ours", [2, 4]),
        ("kermany", [18, 90]),
    ]


def test_a_bundle_of_many_films_has_their_mean_heat_map(
    built: bundles.Bundle, drawings: dataset.DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built.heat_map is None and "## Heat map" not in (built.directory / "MODEL_CARD.md").read_text()
    monkeypatch.setattr(heat_map, "LEAST_FILMS", 2)
    monkeypatch.setattr(heat_map, "LEAST_CALLED", 1)
    source = drawings.samples[0].entry.path.parents[2]
    assert export.main([str(built.directory), str(source), "--out", str(tmp_path / "b")]) == 0
    made = bundles.load(tmp_path / "b", deep=True)
    films = [dataset.read(sample) for sample in drawings.part("validation")]
    mean = np.mean([occlusion(Classifier(made), film) for film in films], axis=0)
    assert np.asarray(made.heat_map["mean"]) == pytest.approx(mean, abs=1e-3)
    called = sum(Classifier(made).probability(film) >= made.threshold for film in films)
    assert made.heat_map["films"] == len(films)
    assert made.heat_map["occlusion_test"]["drops"]["own"]["n"] == called
    card = (made.directory / "MODEL_CARD.md").read_text()
    assert "## Heat map" in card and heat_map.text(made.heat_map) in card


def test_the_card_tells_what_is_refused_by_kind(built: bundles.Bundle) -> None:
    from model.bundling import card
    from model.evaluation.intervals import proportion

    refused, accepted = proportion(190, 200), proportion(1, 200)
    measured = {"films": accepted, "drawings": accepted, "harmless": {"noise": accepted}}
    section = {**built.manifest["refusal"], "measured": {**measured, "unsuitable": {"inverted": refused}}}
    section["classifier"] = {}
    text = card.text({**built.manifest, "refusal": section}, "a command", [])
    assert "| inverted | 0.950 | 0.910 to 0.973 | 200 |" in text
    for kind in ("untouched", "noise", "drawings by model.phantom"):
        assert f"| {kind} | 0.005 | 0.001 to 0.028 | 200 |" in text
    assert "a small classifier" in text and "Side views of a chest and films of bones are its weak point" in text
