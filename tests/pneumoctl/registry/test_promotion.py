"""Promotion: the gate on the figures, --force with a recorded reason, and the model that a stack deploys."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import bundle, phantom
from model.evaluation.intervals import proportion
from model.serving.predict import Classifier
from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import evaluations, gate, promotion, store
from pneumoctl.registry import promotion as registry_promotion
from pneumoctl.registry.store import Registered
from pneumoctl.scoring.labelled import summarize
from pneumoctl.scoring.score import FileResult
from pneumoctl.stack import audit, stack
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.targets.aws import api
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud
from tests.pneumoctl.models import made

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
BUCKET = "pneumoctl-promotion-of-a-test"
SETTINGS = Settings(stack="t")


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PNEUMO_STACK", "t")
    monkeypatch.delenv("PNEUMO_MODEL", raising=False)
    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def register_model(tiny_bundle: Path, tmp_path: Path) -> Any:
    """Registers a model that found so many of 390 cases."""

    def register(positives: int | None, **more: Any) -> Registered:
        return store.register(made(tiny_bundle, tmp_path / "bundle", positives, **more))

    return register


def promote(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["model", "promote", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def acts() -> list[dict[str, Any]]:
    return [entry for entry in audit.chain(stack.find("t")).entries() if entry["event"] == "begun"]


def test_a_stack_takes_the_promoted_model_unless_another_is_named(
    register_model: Any, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert registry_promotion.model_bundle(SETTINGS)[1] == bundle.pretrained()
    good = register_model(386)
    done = promote(capsys, good.id)
    assert done["changed"] and done["model"] == good.id and not done["forced"]
    assert registry_promotion.model_bundle(SETTINGS) == (good.id, good.directory)
    assert registry_promotion.model_bundle(Settings(stack="t", model=str(tiny_bundle)))[1] == tiny_bundle.resolve()
    assert registry_promotion.model_bundle(Settings(stack="other"))[1] == bundle.pretrained()
    assert promote(capsys, good.id)["changed"] is False and len(acts()) == 1
    ours = store.shipped()
    assert promote(capsys, ours.id, "--force", "--reason", "back")["model"] == ours.id
    assert registry_promotion.model_bundle(SETTINGS)[1] == bundle.pretrained()


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


def test_force_needs_a_reason_which_is_recorded(register_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    promote(capsys, register_model(386).id)
    bad = register_model(200)
    for words in (("--force",), ("--force", "--reason", "  ")):
        assert "needs a reason" in promote(capsys, bad.id, *words, code=Exit.USAGE)["error"]["message"]
    promote(capsys, bad.id, code=Exit.GATE_FAILED)
    done = promote(capsys, bad.id, "--force", "--reason", "a demonstration")
    assert (
        done["forced"]
        and done["reason"] == "a demonstration"
        and registry_promotion.model_bundle(SETTINGS)[0] == bad.id
    )
    last = acts()[-1]
    assert last["options"]["reason"] == "a demonstration" and last["options"]["force"] is True
    assert "is not promoted" in last["options"]["compared"] and last["options"]["model"] == bad.id and last["who"]
    assert audit.chain(stack.find("t")).verify().faults == ()
    # A force that nothing needed is not called one.
    assert promote(capsys, register_model(386).id, "--force", "--reason", "sure")["forced"] is False


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


def test_a_promoted_model_that_is_gone_or_damaged_stops_up(
    register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    good = register_model(386)
    promote(capsys, good.id)
    (good.directory / "MODEL_CARD.md").chmod(0o644)
    (good.directory / "MODEL_CARD.md").write_text("better")
    with pytest.raises(PneumoError, match="sha256") as caught:
        registry_promotion.model_bundle(SETTINGS)
    assert caught.value.code == Exit.PREFLIGHT
    shutil.rmtree(good.directory)
    with pytest.raises(PneumoError, match="there is no model") as caught:
        registry_promotion.model_bundle(SETTINGS)
    assert caught.value.code == Exit.PREFLIGHT and f"model pull {good.id}" in caught.value.hint


def test_the_promoted_model_outlives_the_stacks_directory(
    register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    good, demo_stack = register_model(386), stack.find("t")
    demo_stack.make()
    promote(capsys, good.id)
    shutil.rmtree(demo_stack.directory)
    assert registry_promotion.model_bundle(SETTINGS)[0] == good.id


def test_one_promotion_at_a_time(register_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    good = register_model(386)
    with promotion.locked(stack.find("t")):
        assert promote(capsys, good.id, code=Exit.LOCKED)["error"]["code"] == Exit.LOCKED
    promote(capsys, good.id)


def test_what_thresholds_were_chosen_on_counts_only_where_nothing_better_is_known(register_model: Any) -> None:
    figures = {"n": 100, "sensitivity": {"value": 0.97, "low": 0.93, "high": 0.99, "n": 100}}
    worse = {"n": 100, "sensitivity": {"value": 0.9, "low": 0.85, "high": 0.94, "n": 100}}
    split = {"settings": {"seed": 7, "validation_share": 0.12}}
    first, second = (register_model(None, validation=validation, **split) for validation in (figures, worse))
    (comparison,) = gate.compare(second, first)
    assert comparison.same and comparison.candidate_on == "validation of xrays"
    assert list(comparison.faults()) == [f"sensitivity 0.900 is below the 95 % interval 0.930 to 0.990 of {first.id}"]
    assert gate.compare(register_model(None, validation=worse), first)[0].same is False  # another split, perhaps
    tested = register_model(380, validation=worse, **split), register_model(380, validation=figures, **split)
    assert [comparison.candidate_on for comparison in gate.compare(*tested)] == ["test of xrays"]
    assert gate.compare(register_model(380), first)[0].same is False


def test_on_aws_the_hosts_are_asked_what_serves(
    aws: Aws, register_model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serves, demo_stack = register_model(389), stack.find("t")
    asked: list[tuple[list[str], bool]] = []
    standing = {"app-0": {"model/current": f"releases/{serves.id}"}, "app-1": {}}
    silent: dict[str, PneumoError] = {}

    @contextmanager
    def opened(_: object, only: list[str], change: bool) -> Iterator[Any]:
        asked.append((only, change))
        yield SimpleNamespace(unreachable=silent)

    monkeypatch.setattr(api.ssh_hosts, "opened", opened)
    monkeypatch.setattr(api.desired, "current_links", lambda _: standing)
    assert api.served_models(demo_stack) == set() and asked == []  # before the first `up` got so far
    demo_stack.save_hosts(
        Inventory(tuple(Host(f"{role}-0", role, address="10.0.0.1") for role in ("nginx", "app", "train")))
    )
    assert api.served_models(demo_stack) == {serves.id} and asked == [(["app-0"], False)]
    silent["app-1"] = PneumoError("app-1 does not answer")
    assert run(["model", "ls", "--json"]) == 0
    captured = capsys.readouterr()
    assert "not known: app-1 does not answer" in captured.err
    assert {model["serving"] for model in json.loads(captured.out)["models"]} == {None}
    error = promote(capsys, register_model(386).id, code=Exit.GATE_FAILED)["error"]
    assert "which model serves is not known" in error["faults"]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Drawings that the tiny bundle classifies correctly."""
    root = tmp_path / "labelled"
    for seed in range(100, 108):
        for name, opacity in (("NORMAL", False), ("PNEUMONIA", True)):
            (root / name).mkdir(parents=True, exist_ok=True)
            phantom.draw(seed, 192, opacity).save(root / name / f"person{seed}.png")
    return root


def test_an_evaluation_is_stored_counted_and_used_for_comparison(
    register_model: Any, labelled: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = register_model(None)

    def evaluate(name: str, folder: Path) -> tuple[dict[str, Any], str]:
        assert run(["model", "evaluate", name, str(folder), "--json"]) == 0
        captured = capfd.readouterr()
        return json.loads(captured.out), captured.err

    first, err = evaluate(model.id, labelled)
    assert first["metrics"]["sensitivity"]["value"] == 1 and first["metrics"]["n"] == 16
    assert first["readings"] == 1 and "independent test" not in err
    # The same pictures under other names elsewhere are the same; one more is not.
    copy = tmp_path / "copy"
    shutil.copytree(labelled, copy)
    (copy / "NORMAL" / "person100.png").rename(copy / "NORMAL" / "a.png")
    second, err = evaluate(model.id, copy)
    assert second["pictures"] == first["pictures"] and second["readings"] == 2 and "were evaluated 2 times" in err
    phantom.draw(300, 192, opacity=True).save(copy / "PNEUMONIA" / "b.png")
    assert evaluate(model.id, copy)[0]["readings"] == 1
    assert len(evaluations.of_model(model.id)) == 3 and evaluations.chain().verify().faults == ()
    assert "person" not in evaluations.chain().path.read_text()

    ours = store.shipped()
    evaluate(ours.id, labelled)
    comparisons = gate.compare(model, ours)
    assert [comparison.same for comparison in comparisons] == [True] and "on 16 pictures" in str(comparisons[0])
    assert str(comparisons[0]).endswith("refused 0 of 16; 0 of 16")


def test_an_evaluation_counts_what_serving_refuses(
    bundle_of_children: Path, labelled: Path, adult_film: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its looks and by the patient's age; the figures are of the others, as those of `infer` are."""
    model = store.register(bundle_of_children)
    noise = np.random.default_rng(1).integers(0, 256, (192, 192), dtype=np.uint8)
    Image.fromarray(noise).save(labelled / "NORMAL" / "noise.png")
    (labelled / "PNEUMONIA" / "adult.dcm").write_bytes(adult_film)
    classifier = Classifier(bundle.load(model.directory))
    files = {path: int(path.parent.name == "PNEUMONIA") for path in labelled.rglob("*.*")}
    outcomes = [FileResult(str(path), classifier.predict(path.read_bytes(), path.name)) for path in files]
    served = summarize(outcomes, {str(path): label for path, label in files.items()})
    assert served["refused"] == 2

    assert run(["model", "evaluate", model.id, str(labelled), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["metrics"]["n"], entry["refused"], entry["in_use"]["n"]) == (18, 2, 16)
    assert {name: entry["in_use"][name] for name in served["figures"]} == served["figures"]
    assert run(["model", "evaluate", model.id, str(labelled)]) == 0
    output = capsys.readouterr().out
    assert "18 pictures: 16 scored, 2 refused, 0 errors; the figures are of the scored pictures" in output
    assert output.count("\nsensitivity") == 2 and "with the refused pictures" in output
    assert run(["model", "show", model.id]) == 0
    assert "the 2 refused ones included" in capsys.readouterr().out


def test_a_folder_that_is_no_labelled_one_is_refused(
    register_model: Any, labelled: Path, tmp_path: Path, capsys: Any
) -> None:
    model = register_model(None)
    (labelled / "NORMAL" / "broken.png").write_bytes(b"no picture")
    for folder, code, word in ((labelled, 1, "cannot be evaluated"), (tmp_path, 2, "has no folders")):
        capsys.readouterr()
        assert run(["model", "evaluate", model.id, str(folder), "--json"]) == code
        assert word in json.loads(capsys.readouterr().out)["error"]["message"]
    assert evaluations.of_model(model.id) == []


def test_the_hint_of_evaluate_names_evaluate(
    register_model: Any,
    labelled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`infer` sends pictures to a stack; a user of `model evaluate` must not be referred to it."""
    model = register_model(None)

    def hint(*words: str) -> str:
        capsys.readouterr()
        assert run(["model", "evaluate", model.id, *words, "--json"]) == Exit.USAGE
        return str(json.loads(capsys.readouterr().out)["error"]["hint"])

    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    assert hint().startswith(f"pneumoctl model evaluate {model.id} DIR")
    (tmp_path / "empty").mkdir()
    for folder in ("none", "empty"):  # not the command that has just failed
        assert hint(str(tmp_path / folder)).startswith("name a folder that contains NORMAL and PNEUMONIA")
    labelled.rename(tmp_path / "test")
    assert hint(str(tmp_path)) == f"pneumoctl model evaluate {model.id} {tmp_path / 'test'}"
    monkeypatch.setenv("PNEUMO_DATA", str(tmp_path / "none"))
    assert hint() == f"pneumoctl model evaluate {model.id} DIR"


@pytest.fixture
def aws(cloud: Cloud, _place: None) -> Iterator[Aws]:
    """With a stack `t` on aws whose bucket is there and whose hosts are not."""
    aws = cloud.aws()
    aws.call("s3", "create_bucket", Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    stack.find("t").save_cloud(stack.Cloud(REGION, "", ACCOUNT, BUCKET))
    yield aws
    cloud.ask("DELETE", "faults")
    s3.empty(aws, BUCKET)
    aws.call("s3", "delete_bucket", Bucket=BUCKET)


def test_on_aws_the_promoted_model_is_in_the_bucket_first(
    aws: Aws, cloud: Cloud, register_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    good = register_model(386)
    cloud.fault("denied", service="s3", times=1)
    assert "denies" in promote(capsys, good.id, code=1)["error"]["message"]
    assert registry_promotion.model_bundle(SETTINGS)[1] == bundle.pretrained()
    cloud.ask("DELETE", "faults")
    promote(capsys, good.id)
    keys = {item.key for item in s3.objects(aws, BUCKET, ("bundles/",))}
    assert f"bundles/{good.id}/bundle.json" in keys and f"bundles/{good.id}/model.onnx" in keys


def test_up_deploys_the_promoted_model(
    register_model: Any, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As shown by the plan, in a separate process."""
    folder = tmp_path_factory.mktemp("s")  # a socket's path must be short
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    good = register_model(386)
    promote(capsys, good.id)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    result = subprocess.run(
        [sys.executable, "-m", "pneumoctl", "up", "--dry-run"], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert f"Copy model {good.id}" in result.stdout, result.stderr
