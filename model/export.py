"""Make a bundle from a trained network: export, compare, calibrate, measure; the bundle appears only if all succeed.

From an existing bundle it makes one with the same networks, calibration and thresholds; refusal and figures are made
anew.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import bundle as bundles
from model.bundle import Bundle
from model.bundling import card, heat_map, measure, refusal, thresholds
from model.bundling import trained as trained_networks
from model.bundling.directory import new_directory
from model.bundling.known_picture import known_picture, verify
from model.bundling.measure import Labelled
from model.bundling.onnx import ExportError, compare, save_keras, to_onnx, with_offset
from model.bundling.provenance import Origin, code_version, command, now
from model.bundling.trained import HISTORY_PLOT, KERAS_FILE
from model.data import dataset as data
from model.data import shifted
from model.data.attribution import SOURCES, ages
from model.data.dataset import DataSet
from model.data.options import add_options
from model.evaluation import calibrate, plots
from model.serving.predict import Classifier
from model.settings import TrainSettings

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)
UNKNOWN_ORIGIN = Origin()
_NO_AGES = "the bundle states no ages of patients: no film is refused for its patient's age; give --ages LOW HIGH"


def build_bundle(
    model: keras.Model,
    settings: TrainSettings,
    dataset: DataSet,
    out_dir: Path,
    name: str,
    test: bool = False,
    history: Sequence[Mapping[str, float]] = (),
    origin: Origin = UNKNOWN_ORIGIN,
    progress: Callable[[str], None] = lambda _: None,
    replace: bool = False,
    base: Bundle | None = None,
) -> Bundle:
    """Make the bundle `out_dir` from a trained model; a failure or a kill at any point leaves no bundle there.

    dataset: split as in training. All is fitted on the training and validation parts; the test part is scored only if
    `test` is set. The offset of the calibration is added to the last bias of the exported networks, not of `model`.
    base: the bundle that `model` was read from; its networks, calibration and thresholds are kept. The same arguments
    on the same machine give the same version. Raises ExportError (the exported files differ from `model`, or the health
    check could never pass), ValueError (a part lacks a class), FileExistsError (`out_dir` is not empty, without
    `replace`).
    """
    with new_directory(out_dir, replace) as work:
        (work / "report").mkdir()
        manifest = _build_manifest(model, settings, dataset, work, name, test, origin, progress, base)
        if history:
            plots.history(history, work / HISTORY_PLOT)
        _write_card(manifest, work, origin.command or command(settings, name, test, origin, base))
        if bundles.write(work, manifest).ages is None:
            log.warning(_NO_AGES)
        verify(work)
    return bundles.load(out_dir, deep=True)


def _build_manifest(
    model: keras.Model,
    settings: TrainSettings,
    dataset: DataSet,
    work: Path,
    name: str,
    test: bool,
    origin: Origin,
    progress: Callable[[str], None],
    base: Bundle | None,
) -> dict[str, Any]:
    """Write networks and plots into `work`; returns the manifest."""
    progress("making shifted copies of the validation part")
    copies = shifted.arrays(dataset.part("validation"), *model.input_shape[1:3], settings.split_seed + 1)
    if base is None:
        temperature, offset = _export_calibrated(model, copies, work, progress)
    else:
        temperature, offset = trained_networks.keep_networks(model, base, work)
    manifest = _describe(model, settings, dataset, name, origin)
    calibrated_on = thresholds.SHIFTED if base is None else base.manifest["calibration"].get("chosen_on", "validation")
    manifest |= {"temperature": temperature, "calibration": {"chosen_on": calibrated_on, "offset": offset}}
    manifest |= trained_networks.lineage(base, test)
    progress("fitting the refusal on the training part and on altered copies of it")
    manifest["refusal"] = refusal.fit(dataset, settings.seed, (settings.height, settings.width))
    manifest["known_picture"] = known_picture(Classifier(Bundle(work, manifest)))  # it may fail, and is quick
    progress("scoring the validation part" + (" and the test part" if test else ""))
    classifier = Classifier(Bundle(work, manifest))
    manifest |= measure.sections(classifier, dataset, copies, settings.target_sensitivity, test, work / "report", base)
    progress("measuring the heat map on the validation part")
    manifest |= heat_map.section(Classifier(Bundle(work, manifest)), dataset.part("validation"), settings.seed)
    return manifest


def _export_calibrated(
    model: keras.Model, copies: Labelled, work: Path, progress: Callable[[str], None]
) -> tuple[float, float]:
    """Write the networks with the offset of the calibration into `work`; returns (temperature, offset).

    copies: shifted ones of the validation films. Calibrated on the films themselves, which resemble those of the
    training, the probabilities would be too certain for cut or differently exposed films.
    """
    progress("calibrating on the shifted copies")
    pixels, labels = copies
    temperature, offset = calibrate.calibration(model.predict(pixels, batch_size=32, verbose=0)[:, 0], labels)
    progress("exporting and comparing with ONNX Runtime")
    calibrated = with_offset(model, offset)
    export(calibrated, work)
    compare(calibrated, work / bundles.NETWORK, temperature)
    return temperature, offset


def export(model: keras.Model, directory: Path) -> None:
    """Write model.keras and model.onnx into `directory`. Raises ExportError if either gives other results."""
    import keras

    save_keras(model, directory / KERAS_FILE)
    to_onnx(model, directory / bundles.NETWORK)
    compare(model, directory / bundles.NETWORK)
    # Fine-tuning starts from the .keras file: it must hold the same network.
    compare(keras.models.load_model(directory / KERAS_FILE, compile=False), directory / bundles.NETWORK)


def _describe(
    model: keras.Model, settings: TrainSettings, dataset: DataSet, name: str, origin: Origin
) -> dict[str, Any]:
    height, width = model.input_shape[1:3]
    samples = {part: dataset.part(part) for part in ("train", "validation", "test")}
    patients = {part: {sample.patient for sample in listed} for part, listed in samples.items()}
    stated = origin.ages or ages(origin.source)
    return {
        "name": name,
        "created": origin.created or now(),
        **({"license": origin.license} if origin.license else {}),
        "input": {"height": height, "width": width, "channels": 1, "range": [0, 255], "resize": "squash-bilinear"},
        "labels": ["no pneumonia", "pneumonia"],
        "data": {
            "name": dataset.name,
            "manifest_sha256": dataset.manifest_sha256,
            "attribution": SOURCES.get(origin.source, origin.source),
            **({"ages": list(stated)} if stated else {}),
            **{part: len(listed) for part, listed in samples.items()},
            "patients": {part: len(numbers) for part, numbers in patients.items()},
            "patient_numbers_in_test_too": len(patients["test"] & (patients["train"] | patients["validation"])),
        },
        # The name alone: the path of a weights file belongs to one machine.
        "settings": {**settings.to_dict(), "weights": Path(settings.weights).name},
        "recipe": origin.recipe,
        "code_version": code_version(),
        "intended_use": card.intended_use(stated),
    }


def _write_card(manifest: Mapping[str, Any], work: Path, commands: str) -> None:
    plot_names = sorted(path.name for path in (work / "report").iterdir())
    (work / "MODEL_CARD.md").write_text(card.text(manifest, commands, plot_names), encoding="utf-8")


_DESCRIPTION = (
    "Make a bundle from the best network of a finished training run, or from an existing bundle, whose networks, "
    "calibration and thresholds are kept while refusal and figures are made anew."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a bundle from the best network of a training run, or from a bundle. Exit 0 done, 1 failed, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m model.export", description=_DESCRIPTION)
    parser.add_argument("trained", type=Path, metavar="RUN|BUNDLE", help="run directory of model.train, or a bundle")
    parser.add_argument("data", type=Path, help="the data that the run was trained on")
    parser.add_argument("--out", type=Path, required=True, help="directory of the new bundle")
    parser.add_argument("--name", help="name of the bundle (default: ARCH-DATA)")
    parser.add_argument("--test", action="store_true", help="score the test part once, for the model card")
    add_options(parser)
    parser.add_argument("--license", default="", metavar="ID", help="licence of the model for its card, such as mit")
    parser.add_argument("--replace", action="store_true", help="replace the bundle in --out")
    options = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        bundle = _from_run_or_bundle(options)
    except (ExportError, bundles.BundleError, data.DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{bundle.name} {bundle.version} in {options.out}")
    return 0


def _from_run_or_bundle(options: argparse.Namespace) -> Bundle:
    trained = trained_networks.open_trained(options.trained, options.data)
    return build_bundle(
        trained.model,
        trained.settings,
        trained.dataset,
        options.out,
        options.name or trained.name,
        test=options.test,
        history=trained.history,
        origin=trained.origin(options.source, options.ages, options.license),
        progress=lambda line: print(line, file=sys.stderr),
        replace=options.replace,
        base=trained.base,
    )


if __name__ == "__main__":
    sys.exit(main())
