"""Plot metrics as small PNG files: training history, ROC, precision-recall, confusion matrix, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.evaluation.canvas import BLUE, GREY, ORANGE, save
from model.evaluation.intervals import wilson
from model.evaluation.metrics import ECE_BINS, evaluate, validated

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPEC = "val_specificity"


def report(labels: Any, probabilities: Any, threshold: float, directory: Path, prefix: str) -> list[Path]:
    """Write `prefix`_roc, _precision_recall, _confusion and _calibration .png; returns the paths.

    labels, probabilities: [n] as for metrics.evaluate. With one class only, the ROC and precision-recall curves are
    undefined and not written.
    """
    y, p = validated(labels, probabilities)
    figures = evaluate(y, p, threshold)
    draw: dict[str, Callable[[Axes], None]] = {
        "confusion": lambda axes: _confusion(axes, figures),
        "calibration": lambda axes: _calibration(axes, y, p, figures),
    }
    if figures["auc"] is not None:
        draw["roc"] = lambda axes: _roc(axes, y, p, figures)
        draw["precision_recall"] = lambda axes: _precision_recall(axes, y, p, figures)
    paths = []
    for name, plot in draw.items():
        path = directory / f"{prefix}_{name}.png"
        save(path, [plot], title=f"{prefix}, {figures['n']} pictures")
        paths.append(path)
    return paths


def history(epochs: Sequence[Mapping[str, float]], path: Path) -> None:
    """Plot the epochs of a run as in history.json: loss, AUC, rates and, if recorded, the learning rate.

    Raises ValueError if there is no epoch.
    """
    if not epochs:
        raise ValueError("there is no epoch to plot")
    panels = {
        "loss": {"training (weighted, augmented)": "loss", "validation": "val_loss"},
        "AUC": {"validation": "val_auc", "shifted copies of it": "val_shifted_auc"},
        "rate": {"sensitivity at the set specificity": "val_recall", "specificity at the target sensitivity": _SPEC},
        "learning rate": {"learning rate": "learning_rate"},
    }
    kept = {title: {name: key for name, key in lines.items() if key in epochs[-1]} for title, lines in panels.items()}
    recorded = {title: lines for title, lines in kept.items() if lines}
    draw = [partial(_lines, epochs=epochs, title=title, lines=lines) for title, lines in recorded.items()]
    save(path, draw, title=f"training, {len(epochs)} epochs")


def _lines(axes: Axes, epochs: Sequence[Mapping[str, float]], title: str, lines: Mapping[str, str]) -> None:
    for colour, (label, key) in zip((BLUE, ORANGE), lines.items(), strict=False):
        points = [(number, epoch[key]) for number, epoch in enumerate(epochs, start=1) if epoch.get(key) is not None]
        axes.plot(*zip(*points, strict=True), color=colour, lw=1.4, marker="o", ms=2.5, label=label)
    axes.set(xlabel="epoch", ylabel=title, xlim=(0.5, len(epochs) + 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(lines) > 1:
        axes.legend(loc="best")
    if title == "learning rate":
        axes.set_yscale("log")


def _roc(axes: Axes, y: np.ndarray, p: np.ndarray, figures: Mapping[str, Any]) -> None:
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve(y, p, drop_intermediate=False)
    area = figures["auc"]
    label = f"AUC {area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance")
    axes.plot(false_rate, true_rate, color=BLUE, lw=1.6, label=label)
    at = (1 - figures["specificity"]["value"], figures["sensitivity"]["value"])
    axes.plot(*at, "o", color=ORANGE, ms=7, label=f"threshold {figures['threshold']:.3g}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, y: np.ndarray, p: np.ndarray, figures: Mapping[str, Any]) -> None:
    from sklearn.metrics import precision_recall_curve

    # Reversed, so that recall rises; without the point (recall 0, precision 1) that belongs to no threshold.
    precision, recall = (values[-2::-1] for values in precision_recall_curve(y, p)[:2])
    share = figures["positives"] / figures["n"]
    axes.axhline(share, color=GREY, lw=0.8, ls=":", label=f"all classified as pneumonia ({share:.2f})")
    axes.step(recall, precision, where="post", color=BLUE, lw=1.6)
    if figures["precision"] is not None:
        at = (figures["sensitivity"]["value"], figures["precision"]["value"])
        axes.plot(*at, "o", color=ORANGE, ms=7, label=f"threshold {figures['threshold']:.3g}")
    axes.set(xlabel="sensitivity (recall)", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower left")


def _confusion(axes: Axes, figures: Mapping[str, Any]) -> None:
    confusion = figures["confusion"]
    counts = np.array([[confusion["tn"], confusion["fp"]], [confusion["fn"], confusion["tp"]]])
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros((2, 2)), where=rows > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        text = f"{count}\n{100 * share:.1f} %" if rows[row, 0] else "0"
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.6 else "black", size=11)
    names = ("no pneumonia", "pneumonia")
    axes.set_xticks((0, 1), names)
    axes.set_yticks((0, 1), names, rotation=90, va="center")
    axes.set(xlabel=f"predicted, at threshold {figures['threshold']:.3g}", ylabel="label")
    axes.grid(visible=False)


def _calibration(axes: Axes, y: np.ndarray, p: np.ndarray, figures: Mapping[str, Any]) -> None:
    bin_of = np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1)
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="perfect")
    for number in range(ECE_BINS):
        inside = bin_of == number
        n, hits = int(inside.sum()), int(y[inside].sum())
        if not n:
            continue
        low, high = wilson(hits, n)
        mean = p[inside].mean()
        axes.plot([mean, mean], [low, high], color=BLUE, lw=1.2)
        axes.plot(mean, hits / n, "o", color=BLUE, ms=5)
        axes.annotate(str(n), ((number + 0.5) / ECE_BINS, -0.09), ha="center", size=7, color=GREY)
    label = f"calibration error {figures['ece']:.3f}, Brier {figures['brier']:.3f}"
    axes.plot([], [], "o-", color=BLUE, label=label)
    axes.set(xlabel="probability (below: pictures in each tenth)", ylabel="share with pneumonia")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.14, 1.22), yticks=np.linspace(0, 1, 6))
    axes.legend(loc="upper left")
