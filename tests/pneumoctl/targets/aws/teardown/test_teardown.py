"""How a `teardown` ends: refused, prevented, or with a report that names each export; and what is recorded."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.leftovers import Remaining
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import final_export, transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.stack import audit
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import teardown, trainings
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import store_loss
from pneumoctl.targets.aws.trainings import Trainings
from pneumoctl.targets.common import unfinished_teardown
from tests.pneumoctl.cloud import Cloud, launch

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_on_a_machine_without_the_keys_it_is_refused_before_anything_is_imported(
    aws: Aws, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(aws, "end", "app-0", "app", "t3.medium")
    away = replace(context, stack=Stack("end", tmp_path / "away" / "end"))
    monkeypatch.setattr(teardown, "open_context", lambda *_: away)
    monkeypatch.setattr(teardown.orphans, "start_alarm", lambda _: None)
    monkeypatch.setattr(teardown.provision, "prepare", lambda *_: pytest.fail("terraform was started"))
    with pytest.raises(PneumoError, match="so nothing was destroyed: another machine made the stack") as error:
        teardown.teardown(away.settings, away.stack, "results", agreed=True, dry_run=False)
    assert error.value.hint.startswith("pneumoctl teardown where the stack was made") and "--purge" in error.value.hint


@pytest.mark.parametrize("gpu", [True, False])
def test_an_aws_that_stops_to_answer_before_the_gpu_is_off_is_exit_7(
    context: Context, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    if not gpu:
        front = Host("nginx", "nginx", "10.20.0.10", public_address="127.0.0.1", user="admin")
        context.stack.save_hosts(Inventory((front,)))
    monkeypatch.setattr(teardown, "open_context", lambda *_: context)
    monkeypatch.setattr(teardown.orphans, "start_alarm", lambda _: None)
    monkeypatch.setattr(teardown.provision, "prepare", lambda *_: None)
    monkeypatch.setattr(teardown, "last_applied_variables", lambda _: {})
    monkeypatch.setattr(teardown, "_doomed", lambda _: [])
    cloud.fault("denied", service="ec2", action="DescribeInstances")
    with pytest.raises(PneumoError, match="AWS denies") as caught:
        teardown.teardown(context.settings, context.stack, "everything", agreed=True, dry_run=False)
    assert caught.value.code == (Exit.GPU_NOT_STOPPED if gpu else Exit.FAILED)
    assert ("aws ec2 stop-instances" in caught.value.hint) is gpu


def test_the_report_names_the_results_that_were_exported_by_what_import_takes(context: Context, tmp_path: Path) -> None:
    counts = {"results": 1, "pictures": 0, "reviews": 0, "damaged": 0}
    exported = teardown.Exported(tmp_path, Summary(counts, "digest", path=tmp_path / "results"))
    report = teardown._end(context, ["a host"], exported, [])
    assert report.blocks[0] == f"exported 1 result, 0 pictures, 0 reviews to {tmp_path}/results"
    assert (report.document["exported"], report.document["exported_folder"]) == (tmp_path / "results", tmp_path)


def test_the_report_names_the_export_that_an_interrupted_teardown_had_made(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_loss, "export", lambda *_: None)
    monkeypatch.setattr(teardown, "_empty_and_destroy", lambda *_: None)
    monkeypatch.setattr(Context, "made_bucket", "")
    final_export.save(context.stack, tmp_path)
    exported = teardown._export_and_destroy(context, "everything", [])
    report = teardown._end(context, ["a host"], exported, [])
    assert f"an interrupted teardown had exported the results before, to {tmp_path}" in report.blocks
    assert report.document["exported_before"] == tmp_path
    assert teardown._export_and_destroy(context, "nothing", []).before is None


def test_a_teardown_names_an_export_that_was_not_imported_and_keeps_it(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_loss, "export", lambda *_: None)
    monkeypatch.setattr(store_loss, "described", lambda *_: "")
    monkeypatch.setattr(teardown, "_empty_and_destroy", lambda *_: None)
    monkeypatch.setattr(Context, "made_bucket", "")
    (tmp_path / "copy").mkdir()
    transfer.want_import(context.stack, tmp_path / "copy", "digest")
    assert f"results in {tmp_path}/copy were not imported" in "\n".join(
        teardown._description(context, ["x"], "nothing")
    )
    exported = teardown._export_and_destroy(context, "nothing", ["x"])
    teardown._forget(context.stack)
    report = teardown._end(context, ["x"], exported, [])
    assert f"results that were not imported into the store stay in {tmp_path}/copy" in report.blocks
    assert report.document["not_imported"] == tmp_path / "copy" and (tmp_path / "copy").exists()


@pytest.fixture
def doomed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teardown finds one resource, without terraform."""
    monkeypatch.setattr(teardown, "open_context", lambda *_: context)
    monkeypatch.setattr(teardown.orphans, "start_alarm", lambda _: None)
    monkeypatch.setattr(teardown.provision, "prepare", lambda *_: None)
    monkeypatch.setattr(teardown, "last_applied_variables", lambda _: {})
    monkeypatch.setattr(teardown, "_doomed", lambda _: ["aws_vpc.main"])
    monkeypatch.setattr(teardown, "_description", lambda *_: [])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.usefixtures("doomed")
def test_a_teardown_that_is_refused_before_anything_was_stopped_is_not_unfinished(
    context: Context, monkeypatch: pytest.MonkeyPatch, training: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PneumoError("there is not enough space", changed=[])

    monkeypatch.setattr(trainings, "find", lambda *_: Trainings((), None, "a run" if training else ""))
    monkeypatch.setattr(trainings, "end", lambda *_: None)
    monkeypatch.setattr(teardown, "_export_and_destroy", refuse)
    with pytest.raises(PneumoError):
        teardown.teardown(context.settings, context.stack, "everything", True, dry_run=False, end_training=training)
    assert (unfinished_teardown.find(context.stack) is not None) == training


@pytest.mark.usefixtures("doomed")
def test_a_teardown_that_leaves_something_in_aws_is_recorded_as_failed(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status` then advises to complete it; from a recorded success it would advise `up`."""
    monkeypatch.setattr(teardown, "_export_and_destroy", lambda *_: teardown.Exported())
    monkeypatch.setattr(teardown, "_prove", lambda _: [Remaining("VPC", "vpc-1", "", "end")])
    with pytest.raises(PneumoError, match="resources remain in AWS: VPC vpc-1"):
        teardown.teardown(context.settings, context.stack, "everything", agreed=True, dry_run=False)
    assert [entry.get("code") for entry in audit.chain(context.stack).entries()] == [None, Exit.FAILED]
    assert unfinished_teardown.find(context.stack) is not None
