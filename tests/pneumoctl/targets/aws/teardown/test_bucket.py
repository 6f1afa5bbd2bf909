"""What is written to the bucket during a `teardown` is exported and does not break it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.leftovers import BUCKET_ADDRESS
from pneumoctl.aws.terraform.errors import NOT_EMPTY
from pneumoctl.aws.terraform.state import Resource
from pneumoctl.errors import PneumoError
from pneumoctl.results.transfer import Summary
from pneumoctl.targets.aws import bucket, teardown
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import resume_uploads, store_loss
from pneumoctl.targets.common.keep import Keep
from tests.pneumoctl.cloud import REGION

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


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
