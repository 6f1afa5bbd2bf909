"""Write the MODEL_CARD.md of a bundle that its user has calibrated: what is new, then the card of the original."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from model.bundling import card_tables, front_matter

_LIMITS = (
    "Only the user who calibrated this version knows where the films come from, whom they show, and how they were "
    "labelled; nobody else has checked it.",
    "The figures on these films flatter a little: calibration and operating points were chosen on these very films. "
    "Evaluate this version on other films before you use it.",
    "Probabilities carry the share of pneumonia in these films. Where pneumonia is rarer they are too high.",
    "The network, its refusals and its intended use are those of the original, and so are its limits. Calibration "
    "changes neither the order in which it ranks films nor its AUC.",
    "Intervals take every picture as independent. Where patients have several, true intervals are somewhat wider.",
)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)


def text(manifest: Mapping[str, Any], original: str) -> str:
    """The card as Markdown. manifest: of the new bundle (without version and files); original: the card of its base."""
    films, base = manifest["calibration"]["films"], manifest["base"]
    share = films["positives"] / films["n"]
    points = card_tables.operating_points(manifest, {"validation": f"own films of {films['date']}"})
    parts = [
        front_matter.text(manifest, {"validation": f"own films of {films['date']}"}),
        f"# {manifest['name']}",
        manifest["intended_use"],
        f"**Calibrated by its user.** This version has the network of version {base}. Its calibration and operating "
        f"points come from {films['n']} labelled films of its user, {films['positives']} with and {films['negatives']} "
        f"without pneumonia ({share:.1%} with it), on {films['date']}. {films['refused']} more films of that folder "
        "are refused in use and were left out.",
        f"Digest of the films and labels: `{films['pictures']}`; of those that were used: `{films['scored']}`.",
        "## Operating points and calibration",
        _operating_points(manifest) + f"\n\n{points}",
        "## Figures on these films",
        f"{card_tables.figures(manifest['metrics']['validation'])}\n\n{card_tables.METHODS}",
        "## Limits",
        "\n".join(f"- {line}" for line in _LIMITS),
        "## Made by",
        f"Code version `{manifest['code_version']}`: `pneumoctl model calibrate`. The bundle has no Keras file: "
        "fine-tuning starts from that of the original.",
        *_original(base, original),
    ]
    return "\n\n".join(parts) + "\n"


def _operating_points(manifest: Mapping[str, Any]) -> str:
    point = manifest["operating_point"]
    return (
        f"A picture is called pneumonia from probability {point['threshold']:.6g} on: the largest threshold with a "
        f"sensitivity of at least {point['target_sensitivity']:g} on these films. The probability is sigmoid((logit + "
        "offset) / temperature), fitted on these films by Platt scaling: offset "
        f"{manifest['calibration']['offset']:.4g}, already in the network, and temperature "
        f"{manifest['temperature']:.4g}."
    )


def _original(base: str, card: str) -> list[str]:
    """The card of the original, its headings two levels lower."""
    if not card.strip():
        return []
    lowered = re.sub(r"^(#+ )", r"##\1", _FRONT_MATTER.sub("", card), flags=re.MULTILINE)
    lowered = re.sub(r"^- \[[^]]+\]\(report/(?!history)[^)]*\)\n?", "", lowered, flags=re.MULTILINE)
    warning = (
        f"What follows is the card of version {base}. Its operating points, calibration and figures are not those "
    )
    return ["## The original", warning + "of this version.", lowered.strip()]
