"""Calibration and threshold: recovered from simulated logits, compared with a search, refused for unusable input."""

import numpy as np
import pytest

from model.evaluation.calibrate import calibration, sigmoid, threshold


def simulated(count: int, factor: float, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times what the labels were drawn with, less `shift`."""
    dice = np.random.default_rng(seed)
    honest = dice.normal(1, 2, count)
    labels = (dice.random(count) < sigmoid(honest)).astype(int)
    return factor * honest - shift, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 50.0])
def test_calibration_removes_a_known_factor_and_shift(factor: float, shift: float) -> None:
    temperature, offset = calibration(*simulated(20000, factor, shift))
    assert temperature == pytest.approx(factor, rel=0.05)
    assert offset == pytest.approx(shift, abs=0.06 * factor)


def test_calibration_is_a_logistic_regression_on_platts_targets() -> None:
    """scikit-learn takes no soft targets, so each picture is given twice, with both labels and weights."""
    from sklearn.linear_model import LogisticRegression

    logits, labels = simulated(300, 2.0, 1.0, seed=4)
    ill, well = labels.sum(), (1 - labels).sum()
    target = np.where(labels == 1, (ill + 1) / (ill + 2), 1 / (well + 2))
    model = LogisticRegression(C=np.inf, tol=1e-10)
    model.fit(np.tile(logits, 2)[:, None], np.repeat([1, 0], 300), sample_weight=np.concatenate([target, 1 - target]))
    temperature, offset = calibration(logits, labels)
    assert 1 / temperature == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert offset / temperature == pytest.approx(model.intercept_[0], abs=1e-4)


def test_calibrated_probabilities_have_the_share_of_the_class() -> None:
    """What class weights do: a network that thinks both classes equally frequent."""
    logits, labels = simulated(5000, 1.0, 2.0, seed=1)
    temperature, offset = calibration(logits, labels)
    assert abs(sigmoid(logits).mean() - labels.mean()) > 0.1
    assert sigmoid(logits + offset, temperature).mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_separable_logits_are_not_made_certain() -> None:
    logits = np.array([-3.0, -0.1, 0.2, 5.0])
    probabilities = sigmoid(logits + calibration(logits, [0, 0, 1, 1])[1], calibration(logits, [0, 0, 1, 1])[0])
    assert np.all(probabilities > 0.1) and np.all(probabilities < 0.9)


def test_a_model_worse_than_chance_gets_the_share_of_positives() -> None:
    temperature, offset = calibration([3.0, 2.0, -2.0, -3.0], [0, 0, 1, 1])
    assert temperature == pytest.approx(20.0)
    assert np.all(np.abs(sigmoid(np.array([3.0, -3.0]) + offset, temperature) - 0.5) < 0.08)


def test_equal_logits_give_the_share_of_positives() -> None:
    temperature, offset = calibration(np.full(40, 7.0), np.repeat([0, 1], [10, 30]))
    assert sigmoid(7.0 + offset, temperature) == pytest.approx(0.75, abs=0.02)


def test_calibration_does_not_change_the_order() -> None:
    logits = np.array([-40.0, -1.0, 0.0, 3.0, 50.0])
    assert np.all(np.diff(sigmoid(logits, 2.5)) > 0)


def test_sigmoid_is_stable_at_both_ends() -> None:
    with np.errstate(all="raise"):
        assert sigmoid([-700.0, 0.0, 700.0]).tolist() == pytest.approx([0.0, 0.5, 1.0], abs=1e-300)
    assert sigmoid(2.0, 4.0) == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-16)


@pytest.mark.parametrize("target", [0.01, 0.5, 0.9, 0.95, 0.97, 1.0])
@pytest.mark.parametrize("digits", [1, 8])
def test_threshold_is_the_largest_that_reaches_the_target(target: float, digits: int) -> None:
    dice = np.random.default_rng(8)
    labels = (dice.random(400) < 0.6).astype(int)
    probabilities = np.round(sigmoid(dice.normal(0, 2, 400) + labels), digits)
    at = threshold(probabilities, labels, target)
    positives = probabilities[labels == 1]
    assert np.mean(positives >= at) >= target
    higher = [value for value in np.unique(probabilities) if value > at * (1 + 1e-5)]
    assert all(np.mean(positives >= value) < target for value in higher)


def test_fourteen_of_twenty_five_is_fifty_six_in_a_hundred() -> None:
    """0.56 * 25 is a little more than 14 in floating point: no fifteenth picture is needed."""
    probabilities = np.linspace(0.04, 1.0, 25)
    at = threshold(np.append(probabilities, 0.5), np.append(np.ones(25, int), 0), 0.56)
    assert at == pytest.approx(probabilities[11], abs=1e-6)


def test_threshold_is_cut_down_so_that_rounding_cannot_lose_its_picture() -> None:
    at = threshold([0.1, 0.57, 0.1234567891, 0.9], [0, 1, 1, 0], 1.0)
    assert at == 0.123456
    assert threshold([0.1, 0.57, 0.2], [0, 1, 0], 1.0) == 0.57
    assert threshold([0.0, 3.21987654e-9], [0, 1], 1.0) == 3.21987e-9


def test_equal_probabilities_at_the_threshold_are_all_positive() -> None:
    assert threshold([0.4, 0.4, 0.4, 0.8, 0.1], [1, 1, 1, 1, 0], 0.5) == 0.4


@pytest.mark.parametrize("target", [0.0, -1.0, 1.01, float("nan")])
def test_an_impossible_target_is_an_error(target: float) -> None:
    with pytest.raises(ValueError, match="sensitivity"):
        threshold([0.1, 0.9], [0, 1], target)


@pytest.mark.parametrize("choose", [calibration, lambda scores, labels: threshold(scores, labels, 0.9)])
@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([], [], "both classes"),
        ([0.1, 0.2], [1, 1], "both classes"),
        ([0.1, 0.2], [0, 0], "both classes"),
        ([0.1], [0, 1], "equally long"),
        ([0.1, float("nan")], [0, 1], "finite"),
        ([0.1, float("inf")], [0, 1], "finite"),
        ([0.1, 0.2], [0, 3], "labels"),
    ],
)
def test_unusable_input_gives_no_threshold(choose, scores: list, labels: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        choose(scores, labels)
