"""Plots: written, small, the same each time, with the right points in the curves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.evaluation import plots
from model.evaluation.metrics import evaluate

LIMIT = 60_000  # bytes: nine of them travel with every bundle
EPOCHS = [
    {"loss": 1 / n, "val_loss": 1.3 / n, "val_auc": 1 - 0.4 / n, "val_recall": 0.9, "val_specificity": 0.8}
    for n in range(1, 13)
]


def scored(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(1)
    labels = (dice.random(count) < 0.6).astype(int)
    return labels, np.round(1 / (1 + np.exp(-dice.normal(3 * labels - 1.5, 1.5))), 2)


def draw(folder: Path) -> list[Path]:
    plots.history(EPOCHS, folder / "history.png")
    return plots.report(*scored(), 0.4, folder, "validation")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A folder with a history and a report, and the paths of the report."""
    folder = tmp_path_factory.mktemp("drawn")
    return folder, draw(folder)


def test_report_writes_four_small_pictures(drawn: tuple[Path, list[Path]]) -> None:
    folder, paths = drawn
    names = {"confusion", "calibration", "roc", "precision_recall"}
    assert {*folder.iterdir()} == {*paths, folder / "history.png"}
    assert {path.name for path in paths} == {f"validation_{name}.png" for name in names}
    for path in paths:
        assert path.stat().st_size < LIMIT
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 10  # something is drawn


@pytest.mark.repeat  # a bundle's version, of its files' digests, is the same each time: tests/model/export
def test_the_same_figures_give_the_same_files(drawn: tuple[Path, list[Path]], tmp_path: Path) -> None:
    first, _ = drawn
    draw(tmp_path)
    for path in first.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


@pytest.mark.parametrize("copies", [True, False])
def test_the_area_for_shifted_copies_is_drawn_if_it_was_measured(
    copies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}
    monkeypatch.setattr(plots, "_lines", lambda _axes, epochs, title, lines: drawn.update({title: lines}))
    plots.history([{**epoch, **({"val_shifted_auc": 0.8} if copies else {})} for epoch in EPOCHS], tmp_path / "h.png")
    expected = {"validation": "val_auc"} | ({"shifted copies of it": "val_shifted_auc"} if copies else {})
    assert drawn["AUC"] == expected and list(drawn) == ["loss", "AUC", "rate"]


def test_curves_are_omitted_with_one_class(tmp_path: Path) -> None:
    paths = plots.report([1, 1, 1], [0.2, 0.6, 0.9], 0.5, tmp_path, "ill")
    assert {path.name for path in paths} == {"ill_confusion.png", "ill_calibration.png"}


def test_plots_work_without_a_positive_prediction(tmp_path: Path) -> None:
    assert len(plots.report([1, 0], [0.2, 0.1], 0.9, tmp_path, "none")) == 4


def test_no_pictures_are_an_error_and_leave_no_plot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        plots.report([], [], 0.5, tmp_path, "test")
    assert not list(tmp_path.iterdir())


def test_equal_probabilities_share_a_point_of_both_curves() -> None:
    from matplotlib.figure import Figure

    labels, probabilities = np.array([1, 0, 1, 0]), np.array([0.5, 0.5, 0.5, 0.1])
    figures = evaluate(labels, probabilities, 0.5)
    roc, precision_recall = Figure().subplots(2)
    plots._roc(roc, labels, probabilities, figures)
    plots._precision_recall(precision_recall, labels, probabilities, figures)
    _, curve, _ = roc.lines
    assert curve.get_xydata().tolist() == [[0, 0], [0.5, 1], [1, 1]]
    _, curve, _ = precision_recall.lines
    assert curve.get_xydata().tolist() == [[1, pytest.approx(2 / 3)], [1, 0.5]]


def test_history_is_drawn_with_and_without_a_learning_rate(drawn: tuple[Path, list[Path]], tmp_path: Path) -> None:
    without = drawn[0] / "history.png"
    rated = [{**epoch, "learning_rate": 1e-3 / n} for n, epoch in enumerate(EPOCHS, start=1)]
    for name, epochs in (("with", rated), ("one", EPOCHS[:1])):
        plots.history(epochs, tmp_path / f"{name}.png")
    for path in (without, *tmp_path.iterdir()):
        assert 5_000 < path.stat().st_size < LIMIT
    assert (tmp_path / "with.png").read_bytes() != without.read_bytes()


def test_no_epoch_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epoch"):
        plots.history([], tmp_path / "history.png")


def test_drawing_leaves_no_trace_in_matplotlib(tmp_path: Path) -> None:
    """No pyplot figure and no changed style remain: the caller may draw too."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.report([1, 1, 1], [0.2, 0.6, 0.9], 0.5, tmp_path, "test")
    assert dict(mpl.rcParams) == before
