"""Beside a training, `teardown` asks; what is written to the bucket meanwhile is exported and does not break it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.aws import ec2, s3
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import BUCKET_ADDRESS, Remaining
from pneumoctl.aws.terraform.errors import NOT_EMPTY
from pneumoctl.aws.terraform.state import Resource
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.results import final_export, transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.stack import audit, runs
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Cloud as Where
from pneumoctl.stack.stack import Stack, find
from pneumoctl.targets.aws import bucket, teardown, trainings
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import resume_uploads, store_loss
from pneumoctl.targets.aws.trainings import Trainings
from pneumoctl.targets.common import unfinished_teardown
from pneumoctl.targets.common.keep import Keep
from pneumoctl.terminal.console import Console
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, guarded, launch
from tests.pneumoctl.examples import aws_context

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
RUN = "20261123-061500-a1b2"
NONE = Trainings((), None)
# Holds the lock of the GPU host until it is asked to end, as a client that follows a run.
FOLLOWER = """
import signal, socket, sys
from pathlib import Path
from pneumoctl.stack.stack import Stack
socket.gethostname = lambda real=socket.gethostname(): sys.argv[2] or real
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with Stack("end", Path(sys.argv[1])).gpu_locked("train --gpu"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(ec2, "POLL_S", 0.05)
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)
    account = cloud.aws()
    guarded(account, "end")
    yield account
    cloud.ask("DELETE", "faults")
    for lease in scheduled_stop.listed(account, "end"):
        scheduled_stop.delete(account, "end", lease.run)


@pytest.fixture
def train(aws: Aws) -> Instance:
    return launch(aws, "end", "train", "train", "g5.xlarge")


@pytest.fixture
def context(aws: Aws, train: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    stack = find("end")
    stack.save_cloud(Where(REGION, "", ACCOUNT, "bucket"))
    host = Host("train", "train", "10.20.32.10", instance_id=train.id, user="ubuntu", type="g5.xlarge")
    front = Host("nginx", "nginx", "10.20.0.10", public_address="127.0.0.1", user="admin")
    stack.save_hosts(Inventory((front, host)))
    made = aws_context(aws)
    return replace(made, settings=replace(made.settings, stack="end"), stack=stack)


@pytest.fixture
def follow(context: Context) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started = list["subprocess.Popen[str]"]()

    def start(hostname: str = "") -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", FOLLOWER, str(context.stack.directory), hostname]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        stdout = started[-1].stdout
        assert stdout is not None and stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lease(aws: Aws, host: Instance) -> None:
    scheduled_stop.arm(aws, "end", RUN, host, scheduled_stop.now(aws) + timedelta(hours=1))


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


def test_without_a_training_nothing_is_asked_and_none_can_start(context: Context) -> None:
    with ExitStack() as held:
        found = trainings.find(context, held)
        trainings.require_agreement(found, agreed=False)
        with pytest.raises(PneumoError, match="is locked by pneumoctl teardown"):
            context.stack.gpu_locked("train --gpu").__enter__()
    assert found == NONE


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


def test_beside_a_training_it_asks_although_yes_was_given(
    aws: Aws, context: Context, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease(aws, train)
    with ExitStack() as held:
        found = trainings.find(context, held)
    with pytest.raises(PneumoError, match=f"nothing was destroyed: the GPU host is used by run {RUN} of ") as caught:
        trainings.require_agreement(found, agreed=False)
    assert caught.value.code == Exit.LOCKED
    assert f"pneumoctl runs cancel {RUN}; or: pneumoctl teardown --end-training" in caught.value.hint
    trainings.require_agreement(found, agreed=True)
    monkeypatch.setattr(Console, "ask", lambda *_: True)
    trainings.require_agreement(found, agreed=False)


def test_a_lease_that_cannot_be_read_may_be_a_training(context: Context, cloud: Cloud) -> None:
    cloud.fault("denied", service="scheduler")
    with ExitStack() as held:
        found = trainings.find(context, held)
    with pytest.raises(PneumoError, match=r"a run that is not known .*denies"):
        trainings.require_agreement(found, agreed=False)
    trainings.require_agreement(found, agreed=True)


def test_a_client_that_follows_a_run_here_ends_it_before_the_teardown_goes_on(
    context: Context, follow: Callable[..., "subprocess.Popen[str]"]
) -> None:
    client = follow()
    with ExitStack() as held:
        found = trainings.find(context, held)
        assert str(found) == f"pneumoctl train --gpu (process {client.pid})"
        with pytest.raises(PneumoError):
            trainings.require_agreement(found, agreed=False)
        assert client.poll() is None
        trainings.end(context, found, held)
        assert client.wait() == 143
        with pytest.raises(PneumoError, match="is locked by"):
            context.stack.gpu_locked("train --gpu").__enter__()


def test_a_client_that_is_suspended_goes_on_and_ends_its_run(
    context: Context, follow: Callable[..., "subprocess.Popen[str]"]
) -> None:
    client = follow()
    client.send_signal(signal.SIGSTOP)
    os.waitpid(client.pid, os.WUNTRACED)
    with ExitStack() as held:
        trainings.end(context, trainings.find(context, held), held)
    assert client.wait() == 143


def test_a_client_that_does_not_end_keeps_no_gpu_on(
    aws: Aws,
    context: Context,
    train: Instance,
    follow: Callable[..., "subprocess.Popen[str]"],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(trainings, "END_S", 0.3)
    monkeypatch.setattr(trainings, "os", SimpleNamespace(kill=lambda *_: None))  # it does not react
    client = follow()
    with ExitStack() as held:
        trainings.end(context, trainings.find(context, held), held)
    assert client.poll() is None and aws.states([train.id])[train.id] == "stopped"
    assert f"(process {client.pid}) did not end within" in capsys.readouterr().err


@pytest.mark.parametrize("raised", [False, True])
def test_a_gpu_that_is_not_confirmed_off_leaves_no_other_one_on(
    aws: Aws, context: Context, train: Instance, monkeypatch: pytest.MonkeyPatch, raised: bool
) -> None:
    failure, asked = PneumoError("not off", code=Exit.GPU_NOT_STOPPED), list[str]()
    for name in ("a", "b"):
        now = runs.format_time(scheduled_stop.now(aws))
        runs.save(context.stack, Run(f"{RUN[:-1]}{name}", "end", "gpu", now, [], 600, 3600, instance=train.id))

    def finalize(_aws: Aws, _stack: Any, _host: Instance, run: Run, _verb: str) -> Any:
        asked.append(run.id)
        if raised:
            raise failure
        return SimpleNamespace(stop_failure=failure)

    monkeypatch.setattr(trainings.collect, "finalize_unattended", finalize)
    with pytest.raises(PneumoError) as caught:
        trainings.end(context, NONE, ExitStack())
    assert caught.value is failure and len(asked) == 2 and aws.states([train.id])[train.id] == "stopped"


def test_a_process_of_another_machine_is_not_signalled(
    context: Context, follow: Callable[..., "subprocess.Popen[str]"]
) -> None:
    client = follow("elsewhere")
    with pytest.raises(PneumoError, match="is locked by pneumoctl train --gpu") as caught, ExitStack() as held:
        trainings.find(context, held)
    assert caught.value.code == Exit.LOCKED and client.poll() is None


def test_a_run_that_nobody_follows_is_ended_and_its_receipt_stays(aws: Aws, context: Context, train: Instance) -> None:
    now = scheduled_stop.now(aws)
    run = Run(RUN, "end", "gpu", runs.format_time(now), [], 600, 3600, instance=train.id, bucket="none")
    later = runs.format_time(now + timedelta(hours=1))
    runs.save(context.stack, replace(run, deadline=later, usd_per_hour=1.0))
    lease(aws, train)
    trainings.end(context, NONE, ExitStack())
    assert aws.states([train.id])[train.id] == "stopped" and scheduled_stop.listed(aws, "end") == []
    receipt = runs.load_receipt(context.stack, RUN)
    assert receipt and (receipt.why, receipt.guard, receipt.exit) == ("cancelled", "client", 8)
    assert receipt.billed_s is not None and receipt.usd is not None
    trainings.end(context, NONE, ExitStack())


@dataclass
class Terraform:
    """Destroys the bucket if it is empty. `late`: keys that are written to it after it was emptied."""

    aws: Aws
    bucket: str
    late: list[str]
    left: list[Resource] = field(init=False)

    def __post_init__(self) -> None:
        self.left = [Resource(BUCKET_ADDRESS, "aws_s3_bucket", self.bucket, {})]

    def resources(self) -> list[Resource]:
        return self.left

    def destroy(self, report: Any) -> None:
        if self.late:
            self.aws.call("s3", "put_object", Bucket=self.bucket, Key=self.late.pop(), Body=b"late")
        try:
            self.aws.call("s3", "delete_bucket", Bucket=self.bucket)
        except PneumoError as error:
            assert error.details["aws_code"] == "BucketNotEmpty"
            raise PneumoError(error.message, terraform=NOT_EMPTY) from error
        self.left = []


def with_bucket(aws: Aws, name: str, late: Sequence[str] = ()) -> Any:
    """The terraform of a stack whose bucket, with versions, holds one file."""
    aws.call("s3", "create_bucket", Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.call("s3", "put_bucket_versioning", Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    aws.call("s3", "put_object", Bucket=name, Key="runs/1/early", Body=b"early")
    return Terraform(aws, name, list(late))


@pytest.mark.parametrize("purge", [False, True])
def test_what_is_written_while_the_bucket_is_emptied_is_exported_and_deleted(
    aws: Aws, context: Context, tmp_path: Path, purge: bool
) -> None:
    made = with_bucket(aws, f"late-{purge}".lower(), ["runs/1/late", "runs/1/later"])
    for leftover in ("backups/results/1.tar", "transfers/1/model.tar.gz"):  # none of the user's files
        aws.call("s3", "put_object", Bucket=made.bucket, Key=leftover, Body=b"x")
    folder = tmp_path / "export"
    teardown._empty_and_destroy(replace(context, terraform=made), None if purge else folder, [BUCKET_ADDRESS])
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == (set() if purge else {"early", "late", "later"}) and made.left == []


def test_nothing_that_is_written_between_a_list_and_the_deletion_is_lost(
    aws: Aws, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file, and a file of the same size that replaces one within the same second."""
    made, call = with_bucket(aws, "gap"), Aws.call
    written = ["runs/1/new", "runs/1/early"]

    def write_after_a_list(self: Aws, service: str, operation: str, **arguments: Any) -> Any:
        answer = call(self, service, operation, **arguments)
        if operation == "list_object_versions" and written:
            call(aws, "s3", "put_object", Bucket="gap", Key=written.pop(), Body=b"later")
        return answer

    monkeypatch.setattr(Aws, "call", write_after_a_list)
    bucket.empty(replace(context, terraform=made), tmp_path / "export")
    contents = {path.name: path.read_bytes() for path in (tmp_path / "export").rglob("*") if path.is_file()}
    assert contents == {"early": b"later", "new": b"later"} and not written
    assert s3.objects(aws, "gap", bucket.EVERYTHING) == []


def test_no_file_of_the_bucket_replaces_one_of_the_exported_results(
    aws: Aws, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that somebody copied to the bucket has the same names as the one that this teardown makes."""
    made = with_bucket(aws, "copied")
    aws.call("s3", "put_object", Bucket="copied", Key="results/manifest.json", Body=b"of another export")

    def export(context: Context, target: Path, more: int) -> Summary:
        target.mkdir(parents=True)
        (target / "manifest.json").write_bytes(b"of this export")
        return Summary({}, "digest", path=target)

    monkeypatch.setattr(store_loss, "export", export)
    exported = teardown._export_and_destroy(replace(context, terraform=made), "everything", [BUCKET_ADDRESS])
    assert exported.path and (exported.path / "manifest.json").read_bytes() == b"of this export"
    assert exported.folder and (exported.folder / "bucket/results/manifest.json").read_bytes() == b"of another export"


def test_a_bucket_that_is_written_to_without_end_is_an_error(aws: Aws, context: Context) -> None:
    aws.call("s3", "create_bucket", Bucket="busy", CreateBucketConfiguration={"LocationConstraint": REGION})
    made: Any = Terraform(aws, "busy", [f"runs/1/{number}" for number in range(9)])
    with pytest.raises(PneumoError):
        teardown._empty_and_destroy(replace(context, terraform=made), None, [BUCKET_ADDRESS])
    assert len(made.late) == 9 - teardown.ATTEMPTS


@pytest.mark.parametrize("keep", ["everything", "results", "nothing"])
def test_uploads_go_on_if_the_bucket_cannot_be_exported(
    context: Context, monkeypatch: pytest.MonkeyPatch, keep: Keep
) -> None:
    resumed = list[Context]()

    def fails(*_: object) -> None:
        raise PneumoError("the disk is full")

    monkeypatch.setattr(store_loss, "export", lambda *_: Summary({}, "digest"))
    monkeypatch.setattr(resume_uploads, "resume_unless_destroyed", lambda context, _: resumed.append(context))
    monkeypatch.setattr(Context, "made_bucket", "")
    monkeypatch.setattr(bucket, "empty", fails)
    with pytest.raises(PneumoError, match="the disk is full"):
        teardown._export_and_destroy(context, keep, [])
    assert resumed == ([] if keep == "nothing" else [context])


def test_a_disk_without_space_for_the_bucket_stops_nothing(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = s3.Object("runs/1/big", 10**15, datetime.now(UTC))
    monkeypatch.setattr(Context, "made_bucket", "bucket")
    monkeypatch.setattr(s3, "objects", lambda *_: [file])
    monkeypatch.setattr(store_loss, "export", lambda *_: pytest.fail("uploads were stopped"))
    with pytest.raises(PneumoError, match=r"about 1,000,000,000\.0 MB are needed") as error:
        teardown._export_and_destroy(context, "everything", [])
    assert "XDG_DATA_HOME" in error.value.hint and "--purge" in error.value.hint and not (tmp_path / "share").exists()
    assert error.value.details["changed"] == []


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
