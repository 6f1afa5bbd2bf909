"""The command that makes a bundle of a run or of a bundle, and exports that leave no bundle."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model import bundle as bundles
from model import export, phantom
from model.bundling import onnx, refusal
from model.bundling.onnx import ExportError
from model.bundling.trained import open_trained
from model.data import attribution, dataset
from model.run_dir import RECIPE
from model.settings import TrainSettings
from tests.model.export.small_export import HISTORY, ORIGIN

# Keras 3 asks TensorFlow for arrays in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def nothing_beside(out: Path) -> bool:
    return not out.exists() and not list(out.parent.glob(".*"))


@pytest.mark.parametrize(
    ("broken", "fails_with"),
    [
        ("model.export.compare", ExportError("differ")),
        pytest.param("model.export.plots.report", OSError("disk full"), marks=pytest.mark.repeat),
        pytest.param("model.export.bundles.write", ExportError("no room"), marks=pytest.mark.repeat),
        ("model.export.verify", KeyboardInterrupt()),
    ],
)
def test_a_failure_anywhere_leaves_no_bundle(
    broken: str, fails_with, model, settings, drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fails_with

    monkeypatch.setattr(broken, fail)
    if broken != "model.export.compare":  # exported once is enough
        monkeypatch.setattr("model.export.export", lambda model, work: onnx.to_onnx(model, work / "model.onnx"))
    with pytest.raises(type(fails_with)):
        export.build_bundle(model, settings, drawings, tmp_path / "bundle", "small", origin=ORIGIN)
    assert nothing_beside(tmp_path / "bundle")


def test_a_bundle_whose_health_gate_could_not_pass_is_not_made(
    model, settings, drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = refusal.fit
    monkeypatch.setattr("model.export.refusal.fit", lambda *parts: {**fit(*parts), "limit": 1e-9})
    with pytest.raises(ExportError, match="refuse every drawing"):
        export.build_bundle(model, settings, drawings, tmp_path / "bundle", "small", origin=ORIGIN)
    assert nothing_beside(tmp_path / "bundle")


def test_an_existing_bundle_is_not_overwritten(model, settings, drawings, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("mine")
    with pytest.raises(FileExistsError):
        export.build_bundle(model, settings, drawings, tmp_path / "bundle", "small")
    assert (tmp_path / "bundle" / "bundle.json").read_text() == "mine"


def test_the_command_makes_a_bundle_of_a_run(
    model, settings, drawings, built, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    facts = {"settings": settings.to_dict(), "data": {"manifest_sha256": drawings.manifest_sha256}}
    (run / "settings.json").write_text(json.dumps(facts))
    (run / "history.json").write_text(json.dumps(HISTORY))
    model.save(run / "best.keras")
    source = drawings.samples[0].entry.path.parents[2]
    arguments = [str(run), str(source), "--out", str(tmp_path / "b")]
    monkeypatch.setattr(attribution, "of_data", lambda path: {source: "kermany"}[path])
    assert export.main(arguments) == 0
    made = bundles.load(tmp_path / "b", deep=True)
    assert (made.manifest["data"]["attribution"], made.ages) == (attribution.SOURCES["kermany"], (1, 5))
    assert made.name == "dag-tree" and made.threshold == built.threshold
    assert made.manifest["files"]["model.onnx"] == built.manifest["files"]["model.onnx"]
    assert f"dag-tree {made.version}" in capsys.readouterr().out
    assert export.main(arguments) == 1
    assert "already exists" in capsys.readouterr().err
    assert bundles.load(tmp_path / "b").version == made.version
    assert export.main([*arguments, "--replace", "--name", "other"]) == 0
    assert bundles.load(tmp_path / "b", deep=True).name == "other"
    said = {"name": "said", "source": "drawings", "ages": [2, 9]}
    (run / "settings.json").write_text(json.dumps({**facts, "bundle": said}))
    assert export.main([*arguments, "--replace"]) == 0
    made = bundles.load(tmp_path / "b")
    assert (made.name, made.ages, made.manifest["data"]["attribution"]) == (
        "said",
        (2, 9),
        attribution.SOURCES["drawings"],
    )
    (run / "settings.json").write_text(json.dumps({**facts, "data": {"manifest_sha256": "other"}}))
    assert export.main([*arguments, "--replace"]) == 1
    assert "is not the data" in capsys.readouterr().err


def test_the_command_makes_a_bundle_of_a_bundle_with_the_same_networks(
    drawings: dataset.DataSet, built: bundles.Bundle, tmp_path: Path, capsys
) -> None:
    source = drawings.samples[0].entry.path.parents[2]
    arguments = [str(built.directory), str(source), "--out", str(tmp_path / "b")]
    assert export.main(arguments) == 0
    made = bundles.load(tmp_path / "b", deep=True)
    kept = ("model.keras", "model.onnx", "report/history.png")
    assert [made.manifest["files"][name] for name in kept] == [built.manifest["files"][name] for name in kept]
    for key in ("name", "temperature", "calibration", "operating_point", "known_picture", "settings"):
        assert made.manifest[key] == built.manifest[key], key
    assert made.manifest["metrics"] == {**built.manifest["metrics"], "test": None}
    assert (made.manifest["base"], made.manifest["test_readings"]) == (built.version, 1)
    card = (made.directory / "MODEL_CARD.md").read_text()
    assert (
        f"thresholds are those of version {built.version}" in card
        and "The test part was read once for these networks" in card
    )
    assert "model.export BASE DATA --out BUNDLE" in card
    assert export.main([*arguments, "--replace", "--test"]) == 0
    again = bundles.load(tmp_path / "b", deep=True)
    assert again.manifest["test_readings"] == 2 and again.manifest["metrics"]["test"]["n"] > 0
    assert "was read 2 times, once for each version, for these" in (again.directory / "MODEL_CARD.md").read_text()
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{built.name} {again.version}")


def test_a_bundle_of_a_bundle_keeps_its_thresholds_as_its_calibration(
    drawings: dataset.DataSet, built: bundles.Bundle, tmp_path: Path
) -> None:
    """They belong together: those of an earlier version were chosen on the films, not on shifted copies."""
    lower = built.threshold / 2
    rates = {name: built.manifest["operating_point"][name] for name in ("sensitivity", "specificity")}
    point = {"threshold": lower, "target_sensitivity": 0.9, "chosen_on": "validation", **rates}
    stored = {**built.manifest["operating_points"]["balanced"], "threshold": lower, "chosen_on": "validation"}
    earlier = {key: value for key, value in built.manifest.items() if key not in ("version", "files")}
    earlier |= {"operating_point": point, "operating_points": {"balanced": stored | {"target_sensitivity": 0.9}}}
    earlier |= {"calibration": {**earlier["calibration"], "chosen_on": "validation"}}
    without = {key: value for key, value in earlier.items() if key != "operating_points"}
    source = drawings.samples[0].entry.path.parents[2]
    for number, manifest in enumerate((earlier, without)):
        here = Path(shutil.copytree(built.directory, tmp_path / f"a{number}"))
        bundles.write(here, manifest)
        assert export.main([str(here), str(source), "--out", str(tmp_path / f"b{number}")]) == 0
        made = bundles.load(tmp_path / f"b{number}", deep=True).manifest
        assert list(made["operating_points"]) == ["balanced"]
        for kept in (made["operating_point"], made["operating_points"]["balanced"]):
            assert [kept[key] for key in ("threshold", "target_sensitivity", "chosen_on")] == [lower, 0.9, "validation"]
        assert made["metrics"]["validation"]["threshold"] == made["shifted"]["threshold"] == lower


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_the_recipe_of_the_training_is_that_of_the_networks(
    kind: str, drawings: dataset.DataSet, built: bundles.Bundle, model, settings: TrainSettings, tmp_path: Path
) -> None:
    """What states none is of the first recipe."""
    source = drawings.samples[0].entry.path.parents[2]
    assert built.manifest["recipe"] == RECIPE
    if kind == "run":
        trained = tmp_path / "run"
        trained.mkdir()
        facts = {"settings": settings.to_dict(), "data": {"manifest_sha256": drawings.manifest_sha256}}
        (trained / "settings.json").write_text(json.dumps(facts))
        (trained / "history.json").write_text("[]")
        model.save(trained / "best.keras")
    else:
        trained = Path(shutil.copytree(built.directory, tmp_path / "a"))
        unstated = ("version", "files", "recipe")
        bundles.write(trained, {key: value for key, value in built.manifest.items() if key not in unstated})
    made = open_trained(trained, source)
    assert made.origin("", None, "").recipe == 1
    if kind == "run":
        (trained / "settings.json").write_text(json.dumps({**facts, "recipe": 7}))
    else:
        bundles.write(
            trained, {k: v for k, v in built.manifest.items() if k not in ("version", "files")} | {"recipe": 7}
        )
    assert open_trained(trained, source).origin("", None, "").recipe == 7


def test_a_bundle_replaces_itself(built: bundles.Bundle, drawings: dataset.DataSet, tmp_path: Path) -> None:
    """It may be of an earlier version, which had fewer settings and did not count the readings of the test part."""
    here = Path(shutil.copytree(built.directory, tmp_path / "b"))
    earlier = {key: value for key, value in built.manifest.items() if key not in ("version", "files", "test_readings")}
    earlier["settings"] = {key: value for key, value in earlier["settings"].items() if key != "precision"}
    before = bundles.write(here, earlier)
    source = drawings.samples[0].entry.path.parents[2]
    assert export.main([str(here), str(source), "--out", str(here), "--replace"]) == 0
    made = bundles.load(here, deep=True)
    assert made.manifest["base"] == before.version != made.version
    assert made.manifest["test_readings"] == 1 and made.manifest["settings"] == built.manifest["settings"]


def test_a_bundle_of_other_data_or_without_its_network_makes_none(
    built: bundles.Bundle, drawings: dataset.DataSet, tiny_bundle: Path, tmp_path: Path, capsys
) -> None:
    phantom.tree(tmp_path / "other", 3, seed=9)
    out = ["--out", str(tmp_path / "b")]
    assert export.main([str(built.directory), str(tmp_path / "other"), *out]) == 1
    assert "is not the data" in capsys.readouterr().err
    source = drawings.samples[0].entry.path.parents[2]
    assert export.main([str(tiny_bundle), str(source), *out]) == 1
    assert "give the run that it was made from" in capsys.readouterr().err
    assert nothing_beside(tmp_path / "b")


def test_help_works_without_tensorflow() -> None:
    code = "import sys; from model.export import main; sys.argv=['x','--help']\ntry: main()\n"
    code += "except SystemExit: pass\nassert not {'tensorflow','keras','onnx','matplotlib'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
