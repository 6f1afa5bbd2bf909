"""The plots of an evaluation's report: decision curve, corruptions, the most confident wrong findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.data.dataset import Sample
from model.evaluation.canvas import BLUE, GREEN, GREY, ORANGE, save
from model.evaluation.corruptions import CLEAN, SEVERITIES
from model.evaluation.failures import KINDS, thumbnail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CORRUPTED = {"sensitivity": BLUE, "specificity": ORANGE, "refused": GREY}


def decision_curve(curve: Mapping[str, Any], path: Path) -> None:
    """Plot the net benefit of the model with its 95 % band, beside calling all and none."""
    save(path, [partial(_decision_curve, curve=curve)], title=f"decision curve, {curve['n']} pictures")


def corruptions(measured: Mapping[str, Any], path: Path) -> None:
    """Plot sensitivity, specificity and the refused share against the severity, a panel for each kind."""
    draw = [
        partial(_corruption, kind=kind, points=[measured[CLEAN], *points]) for kind, points in measured["kinds"].items()
    ]
    save(path, draw, title=f"corruptions, {measured[CLEAN]['n']} pictures each", columns=5, size=(2.6, 2.3))


def failures(wrong: Mapping[str, Any], samples: Sequence[Sample], path: Path) -> bool:
    """Draw the most confident wrong findings, small and without names; False if there are none, and no file."""
    by_digest = {sample.sha256: sample for sample in samples}
    shown = [(kind, entry) for kind in KINDS for entry in wrong[kind]["shown"]]
    if not shown:
        return False
    draw = [partial(_failure, kind=kind, entry=entry, sample=by_digest[entry["sha256"]]) for kind, entry in shown]
    counts = ", ".join(f"{title}: {wrong[kind]['n']} of {wrong[kind]['of']}" for kind, title in KINDS.items())
    save(path, draw, title=f"the most confident wrong findings ({counts})", columns=6, size=(1.7, 1.9), colours=256)
    return True


def _decision_curve(axes: Axes, curve: Mapping[str, Any]) -> None:
    at = [point["threshold"] for point in curve["points"]]
    ours = [point["model"] for point in curve["points"]]
    every = [point["all"]["value"] for point in curve["points"]]
    axes.axhline(0, color=GREY, lw=0.8, label="none called pneumonia")
    axes.plot(at, every, color=ORANGE, lw=1.2, ls="--", label="all called pneumonia")
    axes.fill_between(at, [each["low"] for each in ours], [each["high"] for each in ours], color=BLUE, alpha=0.15, lw=0)
    axes.plot(at, [each["value"] for each in ours], color=BLUE, lw=1.6, label="model, 95 % interval")
    top = max(max(each["high"] for each in ours), 0.05)
    axes.set(xlabel="threshold", ylabel="net benefit", xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top))
    axes.legend(loc="best")


def _corruption(axes: Axes, kind: str, points: Sequence[Mapping[str, Any]]) -> None:
    for name, colour in _CORRUPTED.items():
        measured = [(severity, point[name]) for severity, point in enumerate(points) if point[name] is not None]
        at = [severity for severity, _ in measured]
        low, high = ([figure[edge] for _, figure in measured] for edge in ("low", "high"))
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(at, [figure["value"] for _, figure in measured], color=colour, lw=1.2, marker="o", ms=2, label=name)
    axes.set(title=kind, xticks=(0, *SEVERITIES), ylim=(-0.03, 1.03))
    if kind == "noise":
        axes.legend(loc="lower left", fontsize=6)


def _failure(axes: Axes, kind: str, entry: Mapping[str, Any], sample: Sample) -> None:
    film = thumbnail(sample)
    if film is None:
        axes.text(0.5, 0.5, "not shown:\ntext is burned in", ha="center", va="center", size=7)
    else:
        axes.imshow(film, cmap="gray", vmin=0, vmax=255)
    refused = ", refused in use" if entry["refused"] else ""
    axes.set_title(f"{KINDS[kind]}\n{entry['probability']:.3f}, {entry['sha256'][:8]}{refused}", fontsize=6)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=ORANGE if kind == "missed" else GREEN)
