"""The section of a model card that answers the items of CLAIM 2024, as far as they apply to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = (
    "The Checklist for Artificial Intelligence in Medical Imaging (CLAIM, update of 2024: Tejani et al., Radiology: "
    "Artificial Intelligence, doi 10.1148/ryai.240300) is for the report of a study. These are its items that apply to "
    "a model, in its order. Where the data of the bundle do not answer one, that is said.\n\n"
    "| item | answer |\n| --- | --- |\n"
)
_NOT_STATED = "Not stated by the publisher in what this program reads; see the source of the data."


def text(manifest: Mapping[str, Any]) -> str:
    """The table as Markdown, from the manifest of a bundle (without version and files)."""
    return _HEAD + "\n".join(f"| {item} | {answer} |" for item, answer in _items(manifest))


def _items(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Category of technology", f"Deep learning: a convolutional network (`{manifest['settings'].get('arch')}`)."
    yield "Intended use and clinical role", "See the first paragraph: research and teaching; none in care."
    yield from _data_items(manifest)
    yield from _model_items(manifest)
    yield from _evaluation_items(manifest)


def _data_items(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data, size = manifest["data"], manifest["input"]
    yield "Prospective or retrospective", "Retrospective: the pictures had their labels before the training."
    yield "Data sources", "See Data."
    yield (
        "Inclusion and exclusion criteria",
        "All pictures of the data set; equal copies in the training part count once. How the publisher chose patients "
        "is not known here.",
    )
    yield "Preprocessing", f"Grey, pressed to {size['width']} x {size['height']} pixels, values 0 to 255."
    yield "De-identification", _NOT_STATED
    yield "Missing data", "A picture without a label is not used; no other data enter the model."
    yield "Image acquisition", _NOT_STATED
    yield "Reference standard, its rationale and its annotators", f"The labels of the data set. {_NOT_STATED}"
    yield (
        "Assignment to partitions",
        "The test part is that of the data set; validation is cut from the training part at random, by patient.",
    )
    shared = data["patient_numbers_in_test_too"]
    yield (
        "Level at which partitions are disjoint",
        "Patient number for training and validation"
        + (f"; {shared} numbers of the test part occur there, too." if shared else ", and for the test part."),
    )
    yield "Intended sample size", "None was planned: all pictures were used."


def _model_items(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    settings = manifest["settings"]
    yield "Description of the model", "See the settings under Made by, and the network in the files of the bundle."
    yield "Software", f"Trained with Keras and TensorFlow, run with ONNX Runtime; code `{manifest['code_version']}`."
    weights = settings.get("weights")
    yield "Initialisation", f"{'Random' if weights == 'none' else weights}; seed {settings.get('seed')}."
    yield "Training", "See the settings and commands under Made by."
    yield "Selection of the final model", f"The epoch with the best validation figure ({settings.get('metric')})."
    average = settings.get("average")
    yield "Ensembling", f"None; weights are averaged over steps (decay {average})." if average else "None."


def _evaluation_items(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tested = manifest["metrics"].get("test") is not None
    yield "Metrics", "AUC, sensitivity, specificity, precision, F1, accuracy, Brier score, calibration error."
    yield "Uncertainty", "Every figure has a 95 % interval and its number of pictures."
    measured = "measured" in manifest["refusal"]
    robust = "See Refusals for what is refused of altered pictures. " if measured else ""
    if "shifted" in manifest:
        robust += "Shifted copies: see Operating point and calibration. "
    yield "Robustness", f"{robust}Figures after corruptions: `pneumoctl model evaluate --corruptions`."
    yield "Explainability", "See Heat map, with its test." if "heat_map" in manifest else "Not measured."
    yield "Internal testing", "See Figures: validation" + (" and test." if tested else "; the test part was not read.")
    yield "External testing", "None is part of this bundle."
    yield "Numbers of patients and pictures", "See Data."
    ages = manifest["data"].get("ages")
    stated = f"Ages {ages[0]} to {ages[1]} years; " if ages else "Ages are not stated; "
    yield "Demographic and clinical characteristics", f"{stated}nothing else is known here."
    yield "Performance on all partitions", "See Figures; training pictures were not scored."
    yield "Failure analysis", "Counts under Figures; the films themselves: `pneumoctl model evaluate --report`."
    yield "Limitations", "See Limits."
    yield "Availability", "The model is in this folder; software and commands: see Made by; data: see Data."
    yield "Study registration, protocol and funding", "The bundle is not of a study."
