"""Write the MODEL_CARD.md of a bundle: intended use, data, operating point, metrics and limits, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.bundling import card_tables, claim_checklist, front_matter, heat_map, thresholds
from model.bundling.card_tables import interval
from model.bundling.refusal import QUANTILE
from model.data.shifted import CROP, DRAWS, EXPOSURE, OTHERS

_INTENDED_USE = (
    "Research, teaching and the demonstration of a deployment: scoring frontal chest X-rays{} for signs of pneumonia. "
    "Not a medical device: not for diagnosis, triage or treatment, and not reviewed by any authority."
)
_CHILDREN = (
    "Trained on children aged 1 to 5 from one hospital and one country. On adults, on other equipment and on other "
    "populations expect clearly worse figures; a good figure here says little about them."
)
_AGED = "Trained on patients aged {} to {}. The figures may not hold for other patients."
_UNKNOWN = "The patients in the training pictures are not described here. The figures may not hold for other patients."
_LIMITS = (
    "Every picture is pressed to a square, whatever its shape. In Kermany's set pneumonia films are wider on average, "
    "so the network may have learned shapes that say nothing about the lung.",
    "Probabilities carry the share of pneumonia in the validation part. Where pneumonia is rarer they are too high.",
    "The refusal compares simple statistics with those of the training pictures. It stops most photographs and "
    "documents; it does not prove that a picture is a chest X-ray, nor that it is of a child. Side views of a chest "
    "and films of bones are its weak point where the file does not say what it shows, as PNG and JPEG do not.",
    "Chest films unlike the training pictures, such as those of adults or of other equipment, are refused more often "
    "than the tables above say.",
    "Intervals take every picture as independent. Where patients have several, true intervals are somewhat wider.",
)
_COPIES = (
    f"shifted copies of the validation part ({DRAWS} of each film: up to {CROP:.0%} cut off each side, grey values "
    f"times 1 / {EXPOSURE:g} to {EXPOSURE:g}, and up to {OTHERS} further alterations that serving accepts)"
)
_REFUSED_COPIES = " Copies that serving would refuse count in thresholds and calibration, too."
_CHOSEN_ALIKE = "The other thresholds in the table below were chosen on the same films. "
_SHARED = (
    " {} numbers of the official test part occur in the training or validation part with another kind of finding; "
    "whether they are the same children nobody has published."
)


def intended_use(ages: Sequence[int] | None) -> str:
    """The intended use of a model. ages: the youngest and oldest age of its training patients, if known."""
    return _INTENDED_USE.format("" if ages is None else f" of patients aged {ages[0]} to {ages[1]}")


def text(manifest: Mapping[str, Any], reproduce: str, plots: list[str]) -> str:
    """The model card as Markdown, from the manifest of a bundle (without version and files).

    reproduce: the commands that make the same bundle; plots: names of the files in report/.
    """
    size = manifest["input"]
    population = _population(manifest["data"])
    data = manifest["data"]
    parts = [
        f"{front_matter.text(manifest, dict.fromkeys(('validation', 'test'), data['name']))}\n\n# {manifest['name']}",
        manifest["intended_use"],
        f"Input: one grey picture, pressed to {size['width']} x {size['height']} pixels (bilinear). Output: the "
        "calibrated probability of pneumonia. The version is in bundle.json, beside the sha256 of every file.",
        "## Data",
        _data(manifest["data"]),
        "## Operating point and calibration",
        _operating_point(manifest),
        "## Figures",
        *[_part(part, manifest["metrics"][part]) for part in ("validation", "test")],
        *_readings(manifest),
        "## Refusals",
        _refusal(manifest),
        *(["## Heat map", heat_map.text(manifest["heat_map"])] if "heat_map" in manifest else []),
        "## Limits",
        "\n".join(f"- {line}" for line in (population, *_LIMITS)),
        "## CLAIM 2024",
        claim_checklist.text(manifest),
        "## Plots",
        "\n".join(f"- [{name}](report/{name})" for name in plots),
        "## Made by",
        _made_by(manifest, reproduce),
    ]
    return "\n\n".join(parts) + "\n"


def _population(data: Mapping[str, Any]) -> str:
    if "aged 1 to 5" in data["attribution"]:
        return _CHILDREN
    ages = data.get("ages")
    return _AGED.format(*ages) if ages else _UNKNOWN


def _data(data: Mapping[str, Any]) -> str:
    rows = [f"| {part} | {data[part]} | {data['patients'][part]} |" for part in ("train", "validation", "test")]
    source = data["attribution"] or "Not stated by whoever made this bundle."
    shared = data["patient_numbers_in_test_too"]
    return "\n".join(
        [
            f"{source}\n",
            "| part | pictures | patient numbers |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            "The validation part was cut out of the official training part by patient number: nobody is on both sides. "
            "Numbers are told by the file names; a name that tells none counts as a patient."
            + (_SHARED.format(shared) if shared else ""),
            "",
            f"Data set `{data['name']}`, sha256 of its list `{data['manifest_sha256']}`.",
        ]
    )


def _operating_point(manifest: Mapping[str, Any]) -> str:
    point, points = manifest["operating_point"], card_tables.operating_points(manifest)
    from_copies = thresholds.SHIFTED in (point["chosen_on"], manifest["calibration"]["chosen_on"])
    return (
        f"A picture is called pneumonia from probability {point['threshold']:.6g} on: the largest threshold with a "
        f"sensitivity of at least {point['target_sensitivity']:g} on {_chosen_on(point['chosen_on'])}. "
        f"{_CHOSEN_ALIKE if _have_one_source(manifest) else ''}On the validation part the sensitivity is "
        f"{interval(point['sensitivity'])} and the specificity {interval(point['specificity'])}{_shifted(manifest)}. "
        "This flatters a little, because the threshold and the "
        "epoch to keep were chosen with these very pictures.\n\n"
        "The probability is sigmoid((logit + offset) / temperature), fitted on "
        f"{_chosen_on(manifest['calibration']['chosen_on'])} by Platt scaling: "
        f"offset {manifest['calibration']['offset']:.4g}, already in the last bias of the bundle's networks, and "
        f"temperature {manifest['temperature']:.4g}.{_REFUSED_COPIES if from_copies else ''}"
        + (f"\n\n{points}" if points else "")
    )


def _have_one_source(manifest: Mapping[str, Any]) -> bool:
    """Whether there are several operating points, all chosen on the same films."""
    points = manifest.get("operating_points", {}).values()
    return len(points) > 1 and len({point["chosen_on"] for point in points}) == 1


def _chosen_on(part: str) -> str:
    return f"the {part} part" if part != thresholds.SHIFTED else _COPIES


def _shifted(manifest: Mapping[str, Any]) -> str:
    """What was measured on one shifted copy of each validation film; older bundles have none."""
    measured = manifest.get("shifted")
    if measured is None:
        return ""
    return (
        f"; on one shifted copy of each film {interval(measured['sensitivity'])} and "
        f"{interval(measured['specificity'])}, with an area under the ROC curve of {interval(measured['auc'])}"
    )


def _part(part: str, metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return f"### {part.capitalize()}\n\nNot measured: the {part} part was not read for this bundle."
    head = f"### {part.capitalize()}: {metrics['n']} pictures, {metrics['positives']} with pneumonia"
    methods = [card_tables.METHODS] if part == "validation" else []
    return "\n\n".join([head, card_tables.figures(metrics), *methods])


def _readings(manifest: Mapping[str, Any]) -> list[str]:
    """How often the test part was read, if for several versions of the same network."""
    if "base" not in manifest:
        return []
    count = manifest["test_readings"]
    how = {0: "never read", 1: "read once"}.get(count, f"read {count} times, once for each version,")
    return [
        f"Networks, calibration and thresholds are those of version {manifest['base']}; the refusal and all figures "
        f"were made anew. The test part was {how} for these networks."
    ]


def _refusal(manifest: Mapping[str, Any]) -> str:
    block = manifest["refusal"]
    refused = [
        f"{metrics['refused']} of {metrics['n']} {part} pictures"
        for part, metrics in manifest["metrics"].items()
        if metrics is not None
    ]
    classifier = (
        "" if "classifier" not in block else ", or when a small classifier of these statistics takes it for unsuitable"
    )
    text = (
        f"A picture is not scored when its {len(block['names'])} statistics lie too far (squared Mahalanobis distance "
        f"above {block['limit']:.4g}) from those of the {manifest['data']['train']} training pictures{classifier}. "
        f"That refuses {' and '.join(refused)}; they are counted in the figures above all the same."
    )
    return f"{text}\n\n{_measured(block['measured'])}" if "measured" in block else text


def _measured(measured: Mapping[str, Any]) -> str:
    """What is refused of altered validation pictures, by kind."""
    wanted = {"untouched": measured["films"], **measured["harmless"], "drawings by model.phantom": measured["drawings"]}
    unsuitable = measured["unsuitable"]
    return "\n".join(
        [
            "The classifier was trained on altered copies of the training pictures. Each limit lies above at least "
            f"{QUANTILE:.1%} of the validation pictures and their harmless copies. The tables count what is refused of "
            "the validation pictures and their copies. They flatter a little: the limits were chosen on the pictures "
            "of the second table, and the classifier saw copies of the same kinds in training, so unsuitable "
            "pictures of other kinds are refused less surely.\n",
            *_refused_table("unsuitable copies, to be refused", unsuitable),
            "",
            *_refused_table("suitable pictures and harmless copies, to be accepted", wanted),
        ]
    )


def _refused_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    head = [f"| {title} | refused | 95 % interval | pictures |", "| --- | ---: | ---: | ---: |"]
    return head + [
        f"| {kind} | {rate['value']:.3f} | {rate['low']:.3f} to {rate['high']:.3f} | {rate['n']} |"
        for kind, rate in rows.items()
    ]


def _made_by(manifest: Mapping[str, Any], reproduce: str) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in sorted(manifest["settings"].items()))
    return f"Code version `{manifest['code_version']}`. Settings: {settings}.\n\n```sh\n{reproduce}\n```"
