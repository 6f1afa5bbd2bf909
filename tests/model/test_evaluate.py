"""Figures and intervals against scikit-learn, against published values, against counting; and the command line."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import evaluate as evaluation
from model import phantom
from model.data import dataset
from model.evaluation.intervals import auc, f1, midranks, newcombe, proportion, wilson
from model.evaluation.metrics import calibration_error, evaluate, table
from model.serving.predict import Classifier


def drawn(seed: int, positives: int, negatives: int, shift: float = 1.0, digits: int = 6) -> tuple:
    """Labels and probabilities with an AUC of about Phi(shift / sqrt 2); few digits make many ties."""
    dice = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    logits = dice.normal(0, 1, len(labels)) + shift * labels
    return labels, np.round(1 / (1 + np.exp(-logits)), digits)


def pairs_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The definition: the share of (positive, negative) pairs in the right order, ties one half."""
    wins = [(a > b) + 0.5 * (a == b) for a, b in product(probabilities[labels == 1], probabilities[labels == 0])]
    return float(np.mean(wins))


def delong_variance(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """DeLong's variance by its definition, pair by pair: slow, and without any rank."""
    positive, negative = probabilities[labels == 1], probabilities[labels == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)


@pytest.mark.parametrize("digits", [1, 2, 6])
@pytest.mark.parametrize("sizes", [(2, 2), (3, 40), (60, 35)])
def test_auc_is_the_share_of_ordered_pairs_and_scikit_learns(sizes: tuple, digits: int) -> None:
    from sklearn.metrics import roc_auc_score

    for seed in range(5):
        labels, probabilities = drawn(seed, *sizes, digits=digits)
        assert auc(labels, probabilities)["value"] == pytest.approx(pairs_auc(labels, probabilities), abs=1e-12)
        assert auc(labels, probabilities)["value"] == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)


@pytest.mark.parametrize("digits", [1, 6])
def test_auc_interval_is_delongs_on_the_logit_scale(digits: int) -> None:
    labels, probabilities = drawn(3, 50, 40, digits=digits)
    area = auc(labels, probabilities)
    error = np.sqrt(delong_variance(labels, probabilities)) / (area["value"] * (1 - area["value"]))
    logit = np.log(area["value"] / (1 - area["value"]))
    wanted = 1 / (1 + np.exp(-(logit + 1.959963984540054 * error * np.array([-1, 1]))))
    assert [area["low"], area["high"]] == pytest.approx(list(wanted), abs=1e-9)
    assert area["n"] == 90


def test_auc_interval_agrees_with_the_bootstrap() -> None:
    labels, probabilities = drawn(11, 150, 100, shift=1.5)
    dice = np.random.default_rng(5)
    again = []
    for _ in range(600):
        picked = np.concatenate([dice.choice(150, 150), 150 + dice.choice(100, 100)])
        again.append(auc(labels[picked], probabilities[picked])["value"])
    low, high = np.percentile(again, [2.5, 97.5])
    area = auc(labels, probabilities)
    assert area["low"] == pytest.approx(low, abs=0.012)
    assert area["high"] == pytest.approx(high, abs=0.012)


def test_auc_interval_covers_the_truth_as_often_as_it_says() -> None:
    from scipy.stats import norm

    truth = norm.cdf(2.0 / np.sqrt(2))  # two unit normals two apart
    hits = 0
    for seed in range(400):
        area = auc(*drawn(seed, 60, 40, shift=2.0, digits=12))
        hits += area["low"] <= truth <= area["high"]
    assert 0.92 <= hits / 400 <= 0.98


def test_perfect_separation_does_not_claim_certainty() -> None:
    labels, probabilities = np.array([0] * 20 + [1] * 30), np.linspace(0, 1, 50)
    area = auc(labels, probabilities)
    assert area["value"] == 1.0 and area["high"] == 1.0
    assert 0.85 < area["low"] < 0.97
    mirrored = auc(1 - labels, probabilities)
    assert mirrored["value"] == 0.0 and mirrored["high"] == pytest.approx(1 - area["low"])


def test_one_picture_a_class_gives_the_score_interval_of_one_trial() -> None:
    """Newcombe's interval with one pair is Wilson's with one trial."""
    area = auc(np.array([0, 1]), np.array([0.2, 0.8]))
    assert (area["low"], area["high"]) == pytest.approx(wilson(1, 1), abs=1e-12)
    assert newcombe(0.5, 10, 10) == pytest.approx((0.27351558818989, 0.72648441181011), abs=1e-9)


def test_equal_probabilities_have_auc_one_half() -> None:
    area = auc(np.array([0, 1] * 10), np.full(20, 0.3))
    assert area["value"] == 0.5
    assert area["low"] < 0.3 and area["high"] > 0.7


def test_auc_without_a_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="both classes"):
        auc(np.array([1, 1]), np.array([0.1, 0.2]))


def test_midranks_are_scipys() -> None:
    from scipy.stats import rankdata

    values = np.array([3.0, 1, 1, 7, 3, 3, -2])
    assert midranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_what_is_no_proportion(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(hits, n)


@pytest.mark.parametrize("n", [1, 2, 7, 390, 100000])
def test_wilson_bounds_hold_the_value(n: int) -> None:
    for hits in {0, 1, n // 2, n - 1, n}:
        interval = proportion(hits, n)
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1


def test_f1_interval_covers_the_truth() -> None:
    """Simulated classifiers of known F1; Wilson on tp / (tp + fp + fn) must cover in about 95 of 100."""
    dice = np.random.default_rng(2)
    share, sensitivity, specificity = 0.4, 0.85, 0.9
    tp, fp, fn = share * sensitivity, (1 - share) * (1 - specificity), share * (1 - sensitivity)
    truth, hits = 2 * tp / (2 * tp + fp + fn), 0
    for _ in range(1000):
        counted = dice.multinomial(200, [tp, fp, fn, 1 - tp - fp - fn])
        interval = f1(*(int(count) for count in counted[:3]))
        hits += interval["low"] <= truth <= interval["high"]
    assert 0.93 <= hits / 1000 <= 0.97


def test_every_figure_agrees_with_scikit_learn() -> None:
    from sklearn import metrics

    labels, probabilities = drawn(7, 120, 80, digits=2)
    result = evaluate(labels, probabilities, 0.55)
    called = probabilities >= 0.55
    assert result["n"] == 200 and result["positives"] == 120 and result["negatives"] == 80
    assert result["threshold"] == 0.55
    wanted = {
        "auc": (metrics.roc_auc_score(labels, probabilities), 200),
        "sensitivity": (metrics.recall_score(labels, called), 120),
        "specificity": (metrics.recall_score(1 - labels, ~called), 80),
        "precision": (metrics.precision_score(labels, called), int(called.sum())),
        "f1": (metrics.f1_score(labels, called), 200 - result["confusion"]["tn"]),
        "accuracy": (metrics.accuracy_score(labels, called), 200),
    }
    for name, (value, n) in wanted.items():
        assert result[name]["value"] == pytest.approx(value), name
        assert result[name]["n"] == n, name
        assert 0 <= result[name]["low"] < value < result[name]["high"] <= 1, name
    assert result["brier"] == pytest.approx(metrics.brier_score_loss(labels, probabilities))
    tn, fp, fn, tp = metrics.confusion_matrix(labels, called).ravel()
    assert result["confusion"] == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
    json.dumps(result, allow_nan=False)


def test_a_probability_on_the_threshold_is_called_pneumonia() -> None:
    result = evaluate([1, 0], [0.5, 0.5], 0.5)
    assert result["confusion"] == {"tp": 1, "fp": 1, "tn": 0, "fn": 0}


def test_missing_classes_have_no_figures() -> None:
    """One class only: its own rate stands, the other's and the AUC are None and never 0 or 1."""
    healthy = evaluate([0, 0, 0], [0.1, 0.2, 0.9], 0.5)
    assert healthy["auc"] is None and healthy["sensitivity"] is None
    assert healthy["specificity"]["value"] == pytest.approx(2 / 3)
    assert healthy["precision"]["value"] == 0.0 and healthy["f1"]["value"] == 0.0
    ill = evaluate([1, 1], [0.1, 0.2], 0.5)
    assert ill["auc"] is None and ill["specificity"] is None and ill["precision"] is None
    assert evaluate([0], [0.1], 0.5)["f1"] is None
    assert "undefined" in table(ill)


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        ([], [], "no pictures"),
        ([0, 1], [0.5], "equally long"),
        ([[0, 1]], [[0.5, 0.5]], "equally long"),
        ([0, 2], [0.5, 0.5], "labels must be 0"),
        ([0, 0.5], [0.5, 0.5], "labels must be 0"),
        ([0, 1], [0.5, 1.5], "0..1"),
        ([0, 1], [-0.1, 0.5], "0..1"),
        ([0, 1], [0.5, float("nan")], "0..1"),
    ],
)
def test_input_that_cannot_be_measured_is_an_error(labels: list, probabilities: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate(labels, probabilities, 0.5)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_is_an_error(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        evaluate([0, 1], [0.2, 0.7], threshold)


def test_calibration_error_by_hand() -> None:
    labels, probabilities = np.array([1, 0, 1, 1]), np.array([0.05, 0.05, 0.95, 1.0])
    # First tenth: mean .05 against .5, two of four; last: mean .975 against 1, two of four.
    assert calibration_error(labels, probabilities) == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)
    assert calibration_error(np.array([0, 1]), np.array([0.0, 1.0])) == 0.0


def test_a_table_has_every_figure_with_its_number() -> None:
    lines = table(evaluate(*drawn(1, 30, 20), 0.5)).splitlines()
    for title, n in (("AUC", "50"), ("sensitivity", "30"), ("specificity", "20"), ("accuracy", "50")):
        assert any(line.startswith(title) and line.endswith(n) for line in lines), title


def test_help_works_without_tensorflow() -> None:
    code = "import sys; from model.evaluate import main; sys.argv=['x','--help']\ntry: main()\n"
    code += "except SystemExit: pass\nassert not {'tensorflow','keras','scipy','sklearn'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder tree of drawings, ten patients a class and part."""
    root = tmp_path_factory.mktemp("drawings") / "tree"
    phantom.tree(root, 10, seed=4)
    return root


def test_the_command_scores_the_test_part_as_serving_does(tiny_bundle: Path, drawings: Path, capsys) -> None:
    assert evaluation.main([str(tiny_bundle), str(drawings), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    classifier = Classifier.open(tiny_bundle)
    samples = dataset.load(drawings).part("test")
    served = [classifier.probability(dataset.read(sample)) for sample in samples]
    wanted = evaluate([sample.label for sample in samples], served, classifier.bundle.threshold)
    assert document["metrics"]["confusion"] == wanted["confusion"]
    assert document["metrics"]["brier"] == pytest.approx(wanted["brier"], abs=1e-9)
    assert document["metrics"]["auc"] == pytest.approx(wanted["auc"])
    assert document["model"] == {"name": "tiny-linear", "version": classifier.bundle.version}
    assert document["data"]["part"] == "test" and document["refused"] == 0


def test_the_command_prints_a_table_and_writes_plots(tiny_bundle: Path, drawings: Path, tmp_path: Path, capsys) -> None:
    assert evaluation.main([str(tiny_bundle), str(drawings), "--out", str(tmp_path / "new" / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = len(dataset.load(drawings).part("test"))
    assert lines[0].endswith(f"on test of tree: {count} pictures")
    assert [line.split()[0] for line in lines[2:8]] == ["AUC", *lines_of_rates()]
    written = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    plots = ("roc", "precision_recall", "confusion", "calibration")
    own = {"metrics.json", "scores.json", "decision_curve.png"}
    assert written - {"failures.png"} == own | {f"test_{name}.png" for name in plots}


def lines_of_rates() -> list[str]:
    return ["sensitivity", "specificity", "precision", "F1", "accuracy"]


def test_the_command_reads_a_medmnist_file_and_a_manifest(tiny_bundle: Path, drawings: Path, tmp_path, capsys) -> None:
    """The same pictures as a tree, an .npz and a CSV give the same figures."""
    samples, arrays = dataset.load(drawings).samples, {}
    for split in ("train", "val", "test"):
        part = [sample for sample in samples if sample.split == split] or samples[:1]
        arrays[f"{split}_images"] = np.stack([np.asarray(dataset.read(sample)) for sample in part])
        arrays[f"{split}_labels"] = np.array([[sample.label] for sample in part], np.uint8)
    arrays["val_images"] = 255 - arrays["val_images"]  # a copy of a training picture would be left out
    np.savez(tmp_path / "drawings.npz", **arrays)
    rows = [f"{sample.split},{sample.label},{sample.entry.path.relative_to(drawings)}" for sample in samples]
    (drawings / "list.csv").write_text("\n".join(["split,label,file", *rows]))
    scores = []
    for source in (drawings, tmp_path / "drawings.npz", drawings / "list.csv"):
        assert evaluation.main([str(tiny_bundle), str(source), "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["metrics"])
    assert scores[0] == scores[1] == scores[2]


def test_refused_pictures_are_counted_and_reported(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    root = tmp_path / "noise"
    for part, label in product(("train", "test"), ("NORMAL", "PNEUMONIA")):
        (root / part / label).mkdir(parents=True)
        pixels = np.random.default_rng(len(part + label)).integers(0, 256, (80, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(root / part / label / f"{part}{label}.png")
    assert evaluation.main([str(tiny_bundle), str(root)]) == 0
    assert "2 of them would be refused" in capsys.readouterr().out
    assert evaluation.main([str(tiny_bundle), str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["in_use"] is None


def test_the_validation_part_of_other_data_is_refused(tiny_bundle: Path, drawings: Path, capsys) -> None:
    """The training may have used these pictures, so figures on them would be too good."""
    assert evaluation.main([str(tiny_bundle), str(drawings), "--split", "validation"]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and "was not trained on tree" in streams.err


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert evaluation.main([str(tmp_path), str(tmp_path)]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.startswith("error: ") and streams.err.count("\n") == 1
