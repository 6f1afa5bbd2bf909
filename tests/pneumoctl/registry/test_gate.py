"""The gate of a promotion: which figures are compared, on which pictures, and what refuses a model."""

import json
from typing import Any

import pytest

from model.evaluation.intervals import difference, proportion
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.registry import gate, store
from pneumoctl.registry import promotion as registry_promotion
from pneumoctl.registry.figures import balanced_accuracy
from pneumoctl.stack import stack
from tests.pneumoctl.registry.promotions import SETTINGS, acts, promote

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_the_gate_compares_sensitivity_with_the_interval_on_the_same_test(
    register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = register_model(386)
    promote(capsys, first.id)
    low = first.manifest["metrics"]["test"]["sensitivity"]["low"]
    just, below = register_model(380), register_model(379)
    assert 379 / 390 < low < 380 / 390  # the two sides of the bound
    error = promote(capsys, below.id, code=Exit.GATE_FAILED)["error"]
    assert f"sensitivity 0.972 is below the 95 % interval 0.974 to 0.996 of {first.id}" in error["message"]
    assert error["hint"] == f"pneumoctl model promote {below.id} --force --reason WHY (which is recorded)"
    assert registry_promotion.model_bundle(SETTINGS)[0] == first.id and len(acts()) == 1
    done = promote(capsys, just.id)
    assert "sensitivity 0.974 (0.953 to 0.986); 0.990 (0.974 to 0.996)" in done["compared"][0]


@pytest.mark.parametrize(
    ("figures", "fault"),
    [
        ({"spared": 13}, "specificity 0.130 is below the 95 % interval 0.711 to 0.867 of {other}"),
        ({"spared": 13}, "its specificity is not shown to be at least 0.5: 0.130 (0.078 to 0.210) on test of xrays"),
        ({"auc": 900}, "AUC 0.900 is below the 95 % interval 0.975 to 0.991 of {other}"),
        ({"auc": 800}, "its AUC is not shown to be at least 0.8: 0.800 (0.774 to 0.824) on test of xrays"),
    ],
)
def test_every_figure_is_compared_and_has_a_floor(
    register_model: Any, capsys: pytest.CaptureFixture[str], figures: dict[str, int], fault: str
) -> None:
    first = register_model(386)
    promote(capsys, first.id)
    error = promote(capsys, register_model(388, **figures).id, code=Exit.GATE_FAILED)["error"]
    assert fault.format(other=first.id) in error["faults"]
    for line in error["faults"]:  # one message, with both models' figures
        assert f"- {line}" in error["message"]
    assert "specificity  " in error["message"] and "0.800 (0.711 to 0.867)" in error["message"]


def test_floors_hold_whatever_serves(register_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    poor = register_model(386, spared=13, auc=600)
    promote(capsys, poor.id, "--force", "--reason", "a demonstration")
    error = promote(capsys, register_model(387, spared=14, auc=610).id, code=Exit.GATE_FAILED)["error"]
    assert [fault for fault in error["faults"] if "at least 0.5" in fault] and "below" not in error["message"]


def test_few_films_prove_nothing(register_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All of three cases were found."""
    all_of_three = proportion(3, 3)
    few = {"n": 6, "sensitivity": all_of_three, "specificity": all_of_three, "auc": proportion(6, 6)}
    metrics = {"metrics": {"validation": few, "test": few}}
    first, second = (register_model(1, name=name, **metrics) for name in ("first", "second"))
    promote(capsys, first.id, "--force", "--reason", "a demonstration")
    error = promote(capsys, second.id, code=Exit.GATE_FAILED)["error"]
    assert "its sensitivity is not shown to be at least 0.5: 1.000 (0.439 to 1.000) on test of xrays" in error["faults"]


def test_models_that_scored_no_films_in_common_are_not_compared(
    register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = register_model(386)
    promote(capsys, first.id)
    better = register_model(390, data="e" * 64)
    error = promote(capsys, better.id, code=Exit.GATE_FAILED)["error"]
    assert error["faults"] == [f"no pictures were scored by both, it and {first.id}"]
    assert error["comparisons"][0]["same"] is False and "1.000 (0.990 to 1.000); 0.990" in error["message"]
    both = f"pneumoctl model evaluate {better.id} DIR; pneumoctl model evaluate {first.id} DIR"
    assert both in error["hint"] and "--force --reason WHY" in error["hint"]


def test_pictures_without_a_digest_are_never_the_same(register_model: Any) -> None:
    first, second = register_model(386, data=""), register_model(385, data="")
    assert [comparison.same for comparison in gate.compare(second, first)] == [False]


def test_a_model_that_was_never_measured_is_refused(register_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    error = promote(capsys, register_model(None).id, code=Exit.GATE_FAILED)["error"]
    assert "its sensitivity was not measured on no pictures" not in error["message"]
    assert "its figures were never measured" in error["faults"] and "model evaluate" in error["hint"]


def test_a_model_that_serves_and_is_not_here_is_not_ignored(
    register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = register_model(386), "elsewhere-0123456789ab"
    demo_stack = stack.find("t")
    demo_stack.layout.models.mkdir(parents=True)
    (demo_stack.layout.models / "current").symlink_to(other)
    error = promote(capsys, good.id, code=Exit.GATE_FAILED)["error"]
    assert f"it cannot be compared with {other}" in error["message"] and f"model pull {other}" in error["message"]
    assert promote(capsys, good.id, "--force", "--reason", "it is gone")["forced"]


def test_what_serves_counts_as_what_is_promoted(register_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With `deploy --bundle` and the setting `model`, another model than the promoted one can serve."""
    serves = register_model(389)
    demo_stack = stack.find("t")
    demo_stack.layout.models.mkdir(parents=True)
    (demo_stack.layout.models / "current").symlink_to(serves.id)
    error = promote(capsys, register_model(375, data="e" * 64).id, code=Exit.GATE_FAILED)["error"]
    assert serves.id in error["message"]
    assert run(["model", "ls", "--json"]) == 0
    marks = {
        model["model"]: (model["promoted"], model["serving"]) for model in json.loads(capsys.readouterr().out)["models"]
    }
    assert marks[serves.id] == (False, True) and marks[store.shipped().id] == (False, False)


def test_what_thresholds_were_chosen_on_counts_only_where_nothing_better_is_known(register_model: Any) -> None:
    figures = {"n": 100, "sensitivity": {"value": 0.97, "low": 0.93, "high": 0.99, "n": 100}}
    worse = {"n": 100, "sensitivity": {"value": 0.9, "low": 0.85, "high": 0.94, "n": 100}}
    split = {"settings": {"seed": 7, "validation_share": 0.12}}
    first, second = (register_model(None, validation=validation, **split) for validation in (figures, worse))
    (comparison,) = gate.compare(second, first)
    assert comparison.same and comparison.candidate_on == "validation of xrays"
    assert list(comparison.faults()) == [f"sensitivity 0.900 is below the 95 % interval 0.930 to 0.990 of {first.id}"]
    assert gate.compare(register_model(None, validation=worse), first)[0].same is False  # another split, perhaps
    for seeds, same in (({"seed": 8, "split_seed": 7}, True), ({"seed": 7, "split_seed": 8}, False)):
        other = register_model(None, validation=worse, settings={**seeds, "validation_share": 0.12})
        assert gate.compare(other, first)[0].same is same
    tested = register_model(380, validation=worse, **split), register_model(380, validation=figures, **split)
    assert [comparison.candidate_on for comparison in gate.compare(*tested)] == ["test of xrays"]
    assert gate.compare(register_model(380), first)[0].same is False


def validated(register_model: Any, chosen_on: str, **figures: Any) -> Any:
    """A model that was measured on the validation part alone, with a threshold that was chosen there or on copies."""
    point = {"threshold": 0.5, "target_sensitivity": 0.97, "chosen_on": chosen_on}
    split = {"seed": 7, "validation_share": 0.12}
    return register_model(None, validation={"n": 651, **figures}, operating_point=point, settings=split)


def test_rates_at_thresholds_of_different_films_are_compared_by_their_mean(
    register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A threshold from shifted copies gives a higher specificity and a lower sensitivity on the films themselves."""
    rates = {"sensitivity": proportion(470, 482), "specificity": proportion(164, 169)}
    plain = validated(register_model, "validation", auc=proportion(990, 1000), **rates)
    lower = {"sensitivity": proportion(440, 482), "specificity": proportion(168, 169)}
    copies = validated(register_model, "shifted validation", auc=proportion(992, 1000), **lower)
    promote(capsys, plain.id, "--force", "--reason", "a demonstration")
    for candidate, reference in ((copies, plain), (plain, copies)):
        (comparison,) = gate.compare(candidate, reference)
        assert comparison.same and not list(comparison.faults())
    (compared,) = promote(capsys, copies.id)["compared"]
    words = "the thresholds were chosen on different films (shifted validation; validation): compared are the AUC"
    assert f"balanced accuracy 0.953 (0.934 to 0.965); 0.973 (0.952 to 0.983), {words}" in compared
    worse = validated(register_model, "shifted validation", auc=proportion(950, 1000), **rates)
    promote(capsys, plain.id, "--force", "--reason", "a demonstration")
    error = promote(capsys, worse.id, code=Exit.GATE_FAILED)["error"]
    assert error["faults"] == [f"AUC 0.950 is below the 95 % interval 0.982 to 0.995 of {plain.id}"]
    assert "compared are the AUC and the balanced accuracy" in error["message"]


def test_the_interval_of_balanced_accuracy_is_that_of_a_difference_of_rates() -> None:
    """It is the mean of 1 and of sensitivity - (1 - specificity)."""
    sensitivity, specificity = proportion(440, 482), proportion(168, 169)
    assert sensitivity and specificity
    ends = (("value", "value"), ("low", "high"), ("high", "low"))
    false_rate = {name: 1 - specificity[other] for name, other in ends}
    expected = difference(sensitivity, false_rate, correlation=0, n=651)
    found = balanced_accuracy({"sensitivity": sensitivity, "specificity": specificity})
    assert found == {name: pytest.approx((1 + expected[name]) / 2) for name, _ in ends} | {"n": 651}


def test_a_poor_threshold_is_refused_whatever_films_it_was_chosen_on(register_model: Any) -> None:
    """The network ranks as well as the other one, and overlooks three of ten."""
    auc = proportion(990, 1000)
    rates = {"sensitivity": proportion(470, 482), "specificity": proportion(164, 169)}
    plain = validated(register_model, "validation", auc=auc, **rates)
    poor = {"sensitivity": proportion(337, 482), "specificity": proportion(169, 169)}
    (comparison,) = gate.compare(validated(register_model, "shifted validation", auc=auc, **poor), plain)
    expected = f"balanced accuracy 0.850 is below the 95 % interval 0.952 to 0.983 of {plain.id}"
    assert list(comparison.faults()) == [expected]


def test_thresholds_that_were_chosen_on_the_same_copies_are_compared(register_model: Any) -> None:
    low, high = (
        validated(register_model, "shifted validation", auc=proportion(990, 1000), sensitivity=proportion(hits, 482))
        for hits in (440, 475)
    )
    (comparison,) = gate.compare(low, high)
    assert list(comparison.faults()) == [f"sensitivity 0.913 is below the 95 % interval 0.970 to 0.993 of {high.id}"]


@pytest.mark.parametrize(("lacking", "title"), [("auc", "AUC"), ("specificity", "balanced accuracy")])
def test_nothing_is_compared_without_the_figures_of_both(register_model: Any, lacking: str, title: str) -> None:
    figures = {"sensitivity": proportion(470, 482), "specificity": proportion(164, 169), "auc": proportion(990, 1000)}
    copies = validated(register_model, "shifted validation", **figures)
    del figures[lacking]
    plain = validated(register_model, "validation", **figures)
    for candidate, reference in ((copies, plain), (plain, copies)):
        (fault,) = gate.compare(candidate, reference)[0].faults()
        assert fault.endswith(f"the {title} was not measured for both, it and {reference.id}")
