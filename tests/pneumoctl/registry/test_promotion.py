"""Promotion: --force with a recorded reason, and the model that a stack deploys."""

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

import pytest

from model import bundle
from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import promotion, store
from pneumoctl.registry import promotion as registry_promotion
from pneumoctl.stack import audit, stack
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.targets.aws.configuration import proof
from tests.pneumoctl.cloud import Cloud, stack_with_bucket
from tests.pneumoctl.registry.promotions import SETTINGS, acts, promote

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
BUCKET = "pneumoctl-promotion-of-a-test"


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

    monkeypatch.setattr(proof.ssh_hosts, "opened", opened)
    monkeypatch.setattr(proof.desired, "current_links", lambda _: standing)
    assert proof.served_models(demo_stack) == set() and asked == []  # before the first `up` got so far
    demo_stack.save_hosts(
        Inventory(tuple(Host(f"{role}-0", role, address="10.0.0.1") for role in ("nginx", "app", "train")))
    )
    assert proof.served_models(demo_stack) == {serves.id} and asked == [(["app-0"], False)]
    silent["app-1"] = PneumoError("app-1 does not answer")
    assert run(["model", "ls", "--json"]) == 0
    captured = capsys.readouterr()
    assert "not known: app-1 does not answer" in captured.err
    assert {model["serving"] for model in json.loads(captured.out)["models"]} == {None}
    error = promote(capsys, register_model(386).id, code=Exit.GATE_FAILED)["error"]
    assert "which model serves is not known" in error["faults"]


@pytest.fixture
def aws(cloud: Cloud, _place: None) -> Iterator[Aws]:
    """With a stack `t` on aws whose bucket is there and whose hosts are not."""
    with stack_with_bucket(cloud, BUCKET) as aws:
        yield aws


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
